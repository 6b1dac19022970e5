"""What benchmarks/der.py measures: systems over recordings, their errors, and how steady their labels are."""
