"""turnstream beside other systems in one run; the command is `python -m benchmarks.peers`."""
