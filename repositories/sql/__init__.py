"""Functions that build a statement and never execute it."""
