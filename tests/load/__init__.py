"""
Load scenarios: `locustfile.py` has the callers, `runner.py` runs them against an environment and collects evidence.

`checks.py` turns the evidence into rows; whatever is missing fails a row (FM-80).
"""
