"""For test suites.

A pytest plugin, factories, and the contract that every adapter of the ports has to keep.
"""
