"""Opens one connection: tries every host in turn, each with its own timeout."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from domain.errors import ConfigurationError, DatabaseUnavailable, RecollectError
from repositories.postgres.connection import Connection, closed_is_lost
from repositories.postgres.errors import Phase, translating
from repositories.postgres.session_settings import startup_settings, transaction_settings
from repositories.postgres.tls import tls_argument

if TYPE_CHECKING:
    from repositories.postgres.connection_target import Address
    from repositories.postgres.settings import Settings

GRACE_SECONDS: Final = 30.0
"""The client gives a statement up this long after the server's `statement_timeout`."""


class Hosts:
    """A callable that connects to the first host that answers and has the required attributes.

    The driver's own loop over hosts has one deadline for all of them: if the first host drops
    packets, the second is never tried. The search ends at a host that refuses the user or cannot be
    trusted; it continues after one that is unavailable.
    """

    def __init__(
        self, settings: Settings, *, readonly: bool = False, distributed: bool = False
    ) -> None:
        self._settings_at_begin = transaction_settings(settings) if distributed else {}
        self._addresses = settings.addresses
        self._seconds = settings.connect_timeout.total_seconds()
        self._expects_pooler = settings.pooler == "pgbouncer"
        self._attributes = _session_attributes(settings, readonly=readonly)
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
            # The driver does not keep longer statements prepared, and a hybrid search has 19 kB.
            "max_cacheable_statement_size": 65_536,
            "command_timeout": limit + GRACE_SECONDS if limit else None,
        }

    async def __call__(self) -> Connection:
        """Open a connection.

        Raises:
            DatabaseUnavailable: no host takes a connection now.
            AccessDenied: a host refused the user or the password.
            ConfigurationError: a host refused a setting.
        """
        failures: list[RecollectError] = []
        addresses = self._addresses
        for attribute in self._attributes:
            unfit: list[Address] = []
            for address in addresses:
                try:
                    return await self._open(address, attribute, unfit)
                except DatabaseUnavailable as failure:
                    failures.insert(0, failure)
                except ConfigurationError as failure:
                    # A host name that DNS cannot resolve leaves the other hosts.
                    if failure.setting != "host":
                        raise
                    failures.append(failure)
            # Hosts that did not answer are not tried again.
            addresses = tuple(unfit)
        raise failures[0]

    async def _open(
        self, address: Address, attribute: SessionAttribute, unfit: list[Address]
    ) -> Connection:
        with translating(Phase.CONNECT, host=address.host, port=address.port):
            async with asyncio.timeout(self._seconds):
                try:
                    connection = await asyncpg.connect(
                        host=address.host,
                        port=address.port,
                        target_session_attrs=attribute,
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
                    # PostgreSQL reports the name of its function; a pooler does not.
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
                if self._settings_at_begin:
                    connection.set_at_begin(self._settings_at_begin)
                return connection


def _session_attributes(settings: Settings, *, readonly: bool) -> tuple[SessionAttribute, ...]:
    several, attribute = len(settings.addresses) > 1, settings.target_session_attrs
    if attribute == "prefer-standby" or (readonly and several):
        return SessionAttribute.standby, SessionAttribute.any
    if attribute == "any" and several:
        # A unit of work writes, which fails on a standby that answers first.
        return SessionAttribute.read_write, SessionAttribute.any
    return (SessionAttribute(attribute),)
