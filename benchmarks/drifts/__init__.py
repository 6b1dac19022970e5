"""What benchmarks/drift.py measures, one part a module: numbers, decisions, the clock, identities."""
