"""What is compared here is published on the page of promises as well."""

from tests.faults.conftest import promises

__all__ = ["promises"]
