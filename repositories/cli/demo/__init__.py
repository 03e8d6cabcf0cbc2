"""The demo.

A real linter over a real package, remembered and asked, with the domain's ports and nothing else.
"""
