"""The parts of benchmarks/latency.py and benchmarks/serve.py, a question a file."""
