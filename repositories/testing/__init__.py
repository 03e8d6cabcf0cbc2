"""Help for test suites: factories, servers, and checks of own entities.

Factories, and the servers behind the fixtures of the plugin `recollect_pytest`.
"""
