"""What runs on a Ray cluster: recordings as tasks, servers as replicas. The only package that imports Ray."""
