"""How far each stage of the engine is from the ceilings of the machine that it runs on."""
