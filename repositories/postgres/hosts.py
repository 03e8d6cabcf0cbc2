"""Opening one connection: every host in turn, each with a time of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from domain.errors import ConfigurationError, DatabaseUnavailable, RecollectError
from repositories.postgres.connection import Connection, closed_is_lost
from repositories.postgres.errors import Phase, translating
from repositories.postgres.session_settings import startup_settings
from repositories.postgres.tls import tls_argument

if TYPE_CHECKING:
    from repositories.postgres.settings import Settings
    from repositories.postgres.url import Address

# A client that hears nothing gives up this long after the server should have.
_GRACE_SECONDS = 30.0


class Hosts:
    """Called without arguments, opens a connection to the first host that answers and is what was
    asked for.

    The driver's own loop over hosts has one deadline for all of them: behind a first host that
    swallows packets, the second is never tried. A host that refuses the user, or is not to be
    trusted, ends the search; one that is away does not.
    """

    def __init__(self, settings: Settings, *, readonly: bool = False) -> None:
        self._addresses = settings.addresses
        self._seconds = settings.connect_timeout.total_seconds()
        self._expects_pooler = settings.pooler == "pgbouncer"
        self._wanted = _wanted(settings, readonly=readonly)
        limit = settings.statement_timeout.total_seconds()
        self._arguments: dict[str, Any] = {
            "database": settings.database,
            "user": settings.user,
            "password": None if settings.password is None else settings.password.get_secret_value(),
            "ssl": tls_argument(
                settings.sslmode,
                rootcert=settings.sslrootcert,
                cert=settings.sslcert,
                key=settings.sslkey,
            ),
            "direct_tls": False,
            "server_settings": startup_settings(settings, readonly=readonly),
            "statement_cache_size": 0 if settings.pooler == "pgbouncer" else 100,
            "command_timeout": limit + _GRACE_SECONDS if limit else None,
        }

    async def __call__(self) -> Connection:
        """Raise `DatabaseUnavailable` where no host takes a connection now, `AccessDenied` or `ConfigurationError` at once."""
        failures: list[RecollectError] = []
        addresses = self._addresses
        for wanted in self._wanted:
            unfit: list[Address] = []
            for address in addresses:
                try:
                    return await self._open(address, wanted, unfit)
                except DatabaseUnavailable as failure:
                    failures.insert(0, failure)
                except ConfigurationError as failure:
                    # A name that is gone from the DNS is one host less.
                    if failure.setting != "host":
                        raise
                    failures.append(failure)
            # The others would not answer a second time, and would take their time over it.
            addresses = tuple(unfit)
        raise failures[0]

    async def _open(
        self, address: Address, wanted: SessionAttribute, unfit: list[Address]
    ) -> Connection:
        with translating(Phase.CONNECT, host=address.host, port=address.port):
            async with asyncio.timeout(self._seconds):
                try:
                    connection = await asyncpg.connect(
                        host=address.host,
                        port=address.port,
                        target_session_attrs=wanted,
                        timeout=self._seconds,
                        connection_class=Connection,
                        **self._arguments,
                    )
                except asyncpg.TargetServerAttributeNotMatched:
                    unfit.append(address)
                    raise
                except asyncpg.ProtocolViolationError as error:
                    if self._expects_pooler or error.server_source_function is not None:
                        raise
                    # PostgreSQL names the function that failed; a pooler has none to name.
                    raise ConfigurationError(
                        f"{address.host}:{address.port}: a pooler refused the connection:"
                        " set pooler to pgbouncer",
                        setting="pooler",
                    ) from None
                try:
                    with closed_is_lost(connection):
                        await connection.register_vector_types()
                except BaseException:
                    connection.terminate()
                    raise
                return connection


def _wanted(settings: Settings, *, readonly: bool) -> tuple[SessionAttribute, ...]:
    several, wanted = len(settings.addresses) > 1, settings.target_session_attrs
    if wanted == "prefer-standby" or (readonly and several):
        return SessionAttribute.standby, SessionAttribute.any
    if wanted == "any" and several:
        # A unit of work writes: on a standby that happens to answer first, everything would fail.
        return SessionAttribute.read_write, SessionAttribute.any
    return (SessionAttribute(wanted),)
