"""Benchmarks against the Cal.com simulator: one module per group of rows, all thresholds in `thresholds.py`."""
