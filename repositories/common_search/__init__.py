"""Searches of the ports that are the same on PostgreSQL and in memory.

They are composed of the abstract methods of `Searches`, which each store implements.
"""
