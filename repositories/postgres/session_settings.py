"""What every session asks of the server, whatever the server's own defaults are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select, true

from repositories.postgres.url import parse_options

if TYPE_CHECKING:
    from datetime import timedelta

    from sqlalchemy import Connection, Select

    from repositories.postgres.settings import Settings

# pgbouncer refuses a connection that asks for anything else when it starts.
_POOLER_FORWARDS: Final = frozenset({"application_name", "TimeZone"})


def session_settings(settings: Settings, *, readonly: bool = False) -> dict[str, str]:
    """Return PostgreSQL's settings for every session.

    The `options` of `settings` go before ours.
    """
    ours = {
        "application_name": settings.application_name,
        "statement_timeout": _milliseconds(settings.statement_timeout),
        "lock_timeout": _milliseconds(settings.lock_timeout),
        "idle_in_transaction_session_timeout": _milliseconds(settings.idle_in_transaction_timeout),
        "search_path": _search_path(settings.search_path),
        "TimeZone": "UTC",
        # Statements here are short; compiling one costs more than it saves.
        "jit": "off",
        # After five executions the server may plan for unknown values, and a search then leaves its
        # index.
        "plan_cache_mode": "force_custom_plan",
    }
    if not _on_windows(settings):
        # Without it a query whose client is gone runs to its end, with its locks.
        ours["client_connection_check_interval"] = "2s"
    if readonly:
        ours["default_transaction_read_only"] = "on"
        # Of statements without a transaction; a role may have another default.
        ours["default_transaction_isolation"] = "read committed"
    return ours | parse_options(settings.options)


def startup_settings(settings: Settings, *, readonly: bool = False) -> dict[str, str]:
    """Return those that go with the connection.

    All, or behind a pooler the few that it lets through.
    """
    wanted = session_settings(settings, readonly=readonly)
    if settings.pooler == "none":
        return wanted
    return {name: value for name, value in wanted.items() if name in _POOLER_FORWARDS}


class TransactionSettings:
    """Called when a transaction begins, sets for its length what the pooler did not let through, in
    one statement.

    Behind a pooler a setting of the session would reach another client's transactions.
    """

    def __init__(self, settings: Settings, *, readonly: bool = False) -> None:
        wanted = session_settings(settings, readonly=readonly).items()
        self.values = {name: value for name, value in wanted if name not in _POOLER_FORWARDS}
        if readonly:
            # The default counts for the next transaction, and this one has begun.
            self.values["transaction_read_only"] = self.values.pop("default_transaction_read_only")
        self._statement: Select[tuple[str, ...]] = select(
            *(func.set_config(*pair, true()) for pair in self.values.items())
        )

    def __call__(self, connection: Connection) -> None:
        connection.execute(self._statement)


def _milliseconds(duration: timedelta) -> str:
    return str(round(duration.total_seconds() * 1000))


def _search_path(schemas: str) -> str:
    # Unless it is named, pg_temp comes first, and anyone's temporary table hides one of ours.
    return ", ".join([*(f'"{schema.strip()}"' for schema in schemas.split(",")), "pg_temp"])


def _on_windows(settings: Settings) -> bool:
    return sys.platform == "win32" and all(address.is_local for address in settings.addresses)
