"""The results of these tests are also on the page of guarantees."""

from tests.faults.conftest import promises

__all__ = ["promises"]
