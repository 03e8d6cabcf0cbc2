"""What touches the outside: settings, connections, health, and the embedded server.

Names are imported when they are first used, because `repositories.failures` needs one module of this package and no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from repositories.database.database import Database
    from repositories.database.embedded import EmbeddedServer
    from repositories.database.health import Health
    from repositories.database.settings import Settings

_HOMES = {
    "Database": "repositories.database.database",
    "EmbeddedServer": "repositories.database.embedded",
    "Health": "repositories.database.health",
    "Settings": "repositories.database.settings",
}

__all__ = ["Database", "EmbeddedServer", "Health", "Settings"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
