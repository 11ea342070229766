"""The faults of ``benchmarks/faults.py``, by what they are done to."""
