"""For test suites.

Factories, and the servers behind the fixtures of the plugin `recollect_pytest`.
"""
