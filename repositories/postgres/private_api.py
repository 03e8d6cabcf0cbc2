"""Undocumented behaviour of asyncpg that has no public replacement.

This is the only module that relies on it. `tests/unit/test_private_api.py` fails where a new version of asyncpg changes it.
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
    """A connection with its transport, which asyncpg passes to the constructor and does not expose."""

    __slots__ = ("transport",)

    def __init__(self, protocol: Any, transport: BaseTransport, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self.transport = transport


def is_tls_refused(error: BaseException) -> bool:
    """Whether asyncpg reports that the server does not speak TLS: a bare `ConnectionError`, as for a server that goes away."""
    return type(error) is ConnectionError and "rejected SSL upgrade" in str(error)
