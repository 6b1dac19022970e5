"""Many recordings at once: `turnstream batch`."""
