"""The server settings of every session, which do not depend on the server's defaults."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select, true

from repositories.postgres.url import parse_options

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import Connection, Select

    from repositories.postgres.settings import Settings

# PgBouncer refuses a connection whose startup packet contains other settings.
_POOLER_FORWARDS: Final = frozenset({"application_name", "TimeZone"})


def session_settings(settings: Settings, *, readonly: bool = False) -> dict[str, str]:
    """Return PostgreSQL's settings for every session.

    The `options` of `settings` take precedence.
    """
    ours = {
        "application_name": settings.application_name,
        "statement_timeout": _milliseconds(settings.statement_timeout),
        "lock_timeout": _milliseconds(settings.lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(settings.idle_in_transaction_timeout),
        "search_path": _search_path(settings.search_path),
        "TimeZone": "UTC",
        # For statements without BEGIN, because a role may have another default.
        "default_transaction_isolation": "read committed",
        # A role of an old database may have another default, with which the server reads the
        # backslashes in the functions and statements of this package as escapes.
        "standard_conforming_strings": "on",
        # Otherwise an index can leave out rows that match.
        "gin_fuzzy_search_limit": "0",
        # Statements are short: compiling one takes longer than it saves.
        "jit": "off",
        # After five executions the server may use a generic plan, with which a search does not use
        # its index.
        "plan_cache_mode": "force_custom_plan",
    }
    if not _on_windows(settings):
        # Without it, a query whose client has disconnected runs to its end and holds its locks.
        ours["client_connection_check_interval"] = "2s"
    if readonly:
        ours["default_transaction_read_only"] = "on"
    return ours | parse_options(settings.options)


def startup_settings(settings: Settings, *, readonly: bool = False) -> dict[str, str]:
    """Return the settings in the startup packet: all, or behind a pooler those that it forwards."""
    values = session_settings(settings, readonly=readonly)
    if settings.pooler == "none":
        return values
    return {name: value for name, value in values.items() if name in _POOLER_FORWARDS}


def transaction_settings(settings: Settings) -> dict[str, str]:
    """Return the settings that transactions need on the workers of Citus, too.

    A worker does not have those of the session. The timeout of statements is not among them,
    because the coordinator cancels a statement on the workers. `jit` is set for the database.
    """
    return {"lock_timeout": session_settings(settings)["lock_timeout"]}


class TransactionSettings:
    """A listener for `begin` that sets, for the transaction, what the pooler does not forward.

    It needs one statement. Behind a pooler, a setting of the session would affect transactions of
    other clients.
    """

    def __init__(self, settings: Settings, *, readonly: bool = False) -> None:
        values = session_settings(settings, readonly=readonly).items()
        self.values = {name: value for name, value in values if name not in _POOLER_FORWARDS}
        if readonly:
            # The default applies to the next transaction, and this one has begun.
            self.values["transaction_read_only"] = self.values.pop("default_transaction_read_only")
        self._statement: Select[tuple[str, ...]] = select(
            *(func.set_config(*pair, true()) for pair in self.values.items())
        )

    def __call__(self, connection: Connection) -> None:
        connection.execute(self._statement)


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))


def _search_path(schemas: str) -> str:
    # Unless pg_temp is listed, it is searched first, and a temporary table could hide one of ours.
    return ", ".join([*(f'"{schema.strip()}"' for schema in schemas.split(",")), "pg_temp"])


def _on_windows(settings: Settings) -> bool:
    return sys.platform == "win32" and all(address.is_local for address in settings.addresses)
