"""The errors of a connection attempt: temporary ones, and ones that need a change of settings."""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Final

import asyncpg

from domain import errors
from repositories.postgres.private_api import is_tls_refused
from repositories.postgres.sqlstates import FAILURES

if TYPE_CHECKING:
    from domain.errors import RecollectError

_AT_CONNECT: Final[dict[str, tuple[str, str]]] = {
    "22023": ("options", "the server refused the value of one of its settings"),
    "3D000": ("database", "the database does not exist"),
    "42704": ("options", "the server does not know one of the settings it was given"),
    "55000": ("database", "the database accepts no connections"),
}
_UNRESOLVABLE: Final = frozenset(
    number
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_FAIL")
    if (number := getattr(socket, name, None)) is not None
)


def from_server(
    error: asyncpg.PostgresError, *, host: str | None, port: int | None
) -> RecollectError:
    """Return the domain error for an error with which the server refused a connection."""
    where, state = _where(host, port), error.sqlstate or ""
    if state in _AT_CONNECT:
        setting, words = _AT_CONNECT[state]
        return errors.ConfigurationError(f"{where}: {words}", setting=setting)
    kind, words = (
        FAILURES.get(state)
        or FAILURES.get(state[:2])
        or (errors.UnexpectedFailure, type(error).__name__)
    )
    if kind in (errors.AccessDenied, errors.UnexpectedFailure):
        return kind(f"{where}: {words}", sqlstate=state)
    if kind is errors.ConnectionLost:
        words = "the connection ended before it was ready"
    return errors.DatabaseUnavailable(f"{where}: {words}", host=host, port=port, sqlstate=state)


def from_client(
    error: BaseException, *, host: str | None, port: int | None
) -> RecollectError | None:
    """Return the domain error for a failure to reach the server, or None for another error."""
    where = _where(host, port)
    if isinstance(error, socket.gaierror) and error.errno in _UNRESOLVABLE:
        return errors.ConfigurationError(
            f"the name {host or 'of the host'} cannot be resolved", setting="host"
        )
    denied = _denied(error)
    if denied is not None:
        return errors.AccessDenied(f"{where}: {denied}")
    if isinstance(error, asyncpg.ClientConfigurationError):
        return errors.ConfigurationError(
            f"{where}: the driver refused the settings of the connection"
        )
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return errors.DatabaseUnavailable(
            f"{where}: the server does not meet target_session_attrs", host=host, port=port
        )
    if isinstance(error, OSError):
        return errors.DatabaseUnavailable(f"{where}: {_reason(error)}", host=host, port=port)
    return None


def _where(host: str | None, port: int | None) -> str:
    return "the server" if host is None else f"{host}:{port}"


def _denied(error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted ({error.verify_message})"
    if isinstance(error, ssl.SSLError) and not isinstance(
        error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)
    ):
        return f"TLS failed ({error.reason})"
    if is_tls_refused(error):
        return "the server does not support TLS, which sslmode requires"
    if isinstance(error, PermissionError):
        return "the operating system refuses access"
    # Its subclasses have other causes.
    if type(error) is asyncpg.InterfaceError:
        return "the server requires a method of authentication that the driver does not support"
    return None


def _reason(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, socket.gaierror):
        return "its name cannot be resolved now"
    if isinstance(error, ConnectionResetError):
        return "connection reset"
    if error.errno is not None:
        return os.strerror(error.errno)
    # With several addresses behind one name, asyncio raises one error without a number.
    return (
        "no address of the host accepts the connection"
        if type(error) is OSError
        else type(error).__name__
    )
