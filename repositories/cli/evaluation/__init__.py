"""How well a database finds what a test collection asks for, and how fast.

Keyword, vector and hybrid search, side by side.
"""
