"""A connection as a value: hosts, database, login and parameters."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import SecretStr

DEFAULT_PORT: Final = 5432
PARAMETERS: Final = frozenset(
    {
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "target_session_attrs",
        "application_name",
        "connect_timeout",
        "options",
    }
)


class Address(NamedTuple):
    """One host to try: a name, an IP address, or the folder of a Unix socket; and a port."""

    host: str
    port: int = DEFAULT_PORT

    @property
    def is_socket(self) -> bool:
        return self.host.startswith("/")

    @property
    def is_local(self) -> bool:
        """Whether it is on this machine: a socket, `localhost`, 127.0.0.0/8 or ::1."""
        if self.is_socket or self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return (
            f"[{self.host}]:{self.port}"
            if ":" in self.host and not self.is_socket
            else f"{self.host}:{self.port}"
        )


@dataclass(frozen=True, slots=True)
class ConnectionTarget:
    """The hosts, the database, the login and the parameters of a connection.

    The target of a URL has empty parts or `None` for what the URL does not contain. `repr` and
    `str` do not show the password.
    """

    addresses: tuple[Address, ...] = ()
    database: str | None = None
    user: str | None = None
    password: SecretStr | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.render()

    def render(self, *, show_password: bool = False) -> str:
        """Return the URL in libpq's form, with `***` in place of the password by default."""
        query = dict(self.parameters)
        hosts = ",".join(str(address) for address in self.addresses)
        if any(address.is_socket for address in self.addresses):
            hosts = ""
            query["host"] = ",".join(address.host for address in self.addresses)
            query["port"] = ",".join(str(address.port) for address in self.addresses)
        tail = (
            "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
            if query
            else ""
        )
        credentials = self._credentials(show_password=show_password)
        database = quote(self.database or "", safe="")
        return f"postgresql://{credentials}{hosts}/{database}{tail}"

    def _credentials(self, *, show_password: bool) -> str:
        if self.user is None and self.password is None:
            return ""
        user = quote(self.user or "", safe="")
        if self.password is None:
            return f"{user}@"
        password = quote(self.password.get_secret_value(), safe="") if show_password else "***"
        return f"{user}:{password}@"
