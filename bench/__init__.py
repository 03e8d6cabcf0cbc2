"""Measurements.

`python -m bench` sets writes and reads beside the driver alone, `bench.search` shows what searches
do.
"""
