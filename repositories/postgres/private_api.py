"""Undocumented behaviour of asyncpg that has no public replacement.

No other module relies on it. `tests/unit/test_private_api.py` fails if a new version of asyncpg
changes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg

if TYPE_CHECKING:
    from asyncio import BaseTransport

    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection


class TransportConnection(_Connection):
    """A connection with its transport, which asyncpg passes to the constructor only.

    `transport` is None if asyncpg does not pass it: connections work, without TCP keepalive.
    """

    __slots__ = ("transport",)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.transport: BaseTransport | None = next(
            (argument for argument in arguments if hasattr(argument, "get_extra_info")), None
        )


def is_tls_refused(error: BaseException) -> bool:
    """Return whether the error says that the server does not support TLS.

    asyncpg raises a bare `ConnectionError`, as it does for a lost connection.
    """
    return type(error) is ConnectionError and "rejected SSL upgrade" in str(error)
