"""Storage of the domain: `Database` on PostgreSQL, and `FakeDatabase` in memory.

Names are imported when they are first used: the unit tests of a service, which use the
fakes alone, load no driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domain.values.health import Health
    from repositories.database import Database
    from repositories.embedded import EmbeddedServer
    from repositories.fakes import FakeDatabase
    from repositories.postgres.settings import Settings
    from repositories.recorder import RecorderFigures, TelemetryRecorder
    from repositories.registration import register
    from repositories.sql.rows import tenant_equals
    from repositories.unit_of_work import ReadUnitOfWork, UnitOfWork

_HOMES = {
    "Database": "repositories.database",
    "EmbeddedServer": "repositories.embedded",
    "FakeDatabase": "repositories.fakes",
    "Health": "domain.values.health",
    "ReadUnitOfWork": "repositories.unit_of_work",
    "RecorderFigures": "repositories.recorder",
    "Settings": "repositories.postgres.settings",
    "TelemetryRecorder": "repositories.recorder",
    "UnitOfWork": "repositories.unit_of_work",
    "register": "repositories.registration",
    "tenant_equals": "repositories.sql.rows",
}

__all__ = [
    "Database",
    "EmbeddedServer",
    "FakeDatabase",
    "Health",
    "ReadUnitOfWork",
    "RecorderFigures",
    "Settings",
    "TelemetryRecorder",
    "UnitOfWork",
    "register",
    "tenant_equals",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
