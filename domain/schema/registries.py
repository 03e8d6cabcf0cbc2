"""The tables and mappers of the library's entities, and of an application's own."""

from __future__ import annotations

from sqlalchemy import MetaData
from sqlalchemy.orm import registry

from domain.schema.constraints import NAMING_CONVENTION

metadata = MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of the library's entities."""

application_metadata = MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of an application's own entities."""

mappers = registry(metadata=metadata)
"""The mappers of the library's entities."""

application_mappers = registry(metadata=application_metadata)
"""The mappers of an application's own entities. A class that fails to be mapped stays in it."""
