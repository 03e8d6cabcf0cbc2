"""The ports in memory.

A fake database, its unit of work and its reader, held to the same contract as PostgreSQL's.
"""

from repositories.fakes.database import FakeDatabase
from repositories.fakes.unit_of_work import FakeReader, FakeUnitOfWork

__all__ = ["FakeDatabase", "FakeReader", "FakeUnitOfWork"]
