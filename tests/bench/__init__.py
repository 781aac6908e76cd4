"""Benchmarks against published peers: `make bench`, or `python -m tests.bench --help`."""
