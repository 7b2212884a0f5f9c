"""Timing beside peers; each module runs as ``python -m benchmarks.<name>``."""
