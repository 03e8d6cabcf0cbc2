"""Measurements: what is promised about speed and answers, on a server of their own, through the repositories' public methods."""
