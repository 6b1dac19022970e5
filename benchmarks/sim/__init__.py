"""Conversations made anew from recordings of single speakers; the command is benchmarks/simulate.py."""
