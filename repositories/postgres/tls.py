"""libpq's TLS modes: the default of a host, the modes that it may have, and asyncpg's argument."""

from __future__ import annotations

import ssl
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repositories.postgres.connection_target import Address

SYSTEM: Final = "system"
"""The `sslrootcert` that stands for the certificates of the operating system."""


class SslMode(StrEnum):
    """libpq's modes, weakest first. Only the last one detects a server in between."""

    DISABLE = "disable"
    ALLOW = "allow"
    PREFER = "prefer"
    REQUIRE = "require"
    VERIFY_CA = "verify-ca"
    VERIFY_FULL = "verify-full"


TlsArgument = ssl.SSLContext | Literal[False, "allow", "prefer"]
"""The values of asyncpg's argument `ssl`."""


def default_mode(addresses: Iterable[Address]) -> SslMode:
    """Return `verify-full`, or libpq's default `prefer` if every address is on this machine."""
    return SslMode.PREFER if all(address.is_local for address in addresses) else SslMode.VERIFY_FULL


def require_verified(mode: SslMode, addresses: Iterable[Address], *, insecure: bool) -> None:
    """Raise `ConfigurationError` if a host in between could read the password or the data."""
    if mode is SslMode.VERIFY_FULL or insecure:
        return
    for address in addresses:
        if not address.is_local:
            raise ConfigurationError(
                f"sslmode {mode} does not prove that {address.host} is the server: use"
                " verify-full, or pass insecure=True",
                setting="sslmode",
            )


def tls_argument(
    mode: SslMode, *, rootcert: str | None, cert: str | None, key: str | None
) -> TlsArgument:
    """Return asyncpg's argument `ssl` for a mode.

    Without `rootcert` the operating system's certificates are trusted. As with libpq, `require`
    verifies the issuer if there is a `rootcert`.

    Raises:
        ConfigurationError: a file is missing or is not a certificate or a key, or the mode ignores
            a certificate; the error names the setting.
    """
    if key and not cert:
        raise ConfigurationError(
            "sslkey is set without sslcert: set sslcert to the file with its certificate",
            setting="sslkey",
        )
    if mode in (SslMode.DISABLE, SslMode.ALLOW, SslMode.PREFER):
        return _without_context(mode, rootcert=rootcert, cert=cert)
    if rootcert == SYSTEM and mode is not SslMode.VERIFY_FULL:
        raise ConfigurationError(
            "sslrootcert system needs sslmode verify-full", setting="sslrootcert"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = mode is SslMode.VERIFY_FULL
    if mode is SslMode.REQUIRE and rootcert is None:
        context.verify_mode = ssl.CERT_NONE
    elif rootcert in (None, SYSTEM):
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_roots(context, rootcert)
    if cert:
        _load_identity(context, cert, key)
    return context


def _without_context(mode: SslMode, *, rootcert: str | None, cert: str | None) -> TlsArgument:
    for setting, path in (("sslrootcert", rootcert), ("sslcert", cert)):
        if path:
            raise ConfigurationError(
                f"{setting} is set, and sslmode {mode} ignores it: set sslmode to verify-full, or"
                f" remove {setting}",
                setting=setting,
            )
    match mode:
        case SslMode.ALLOW:
            return "allow"
        case SslMode.PREFER:
            return "prefer"
        case _:
            return False


def _load_roots(context: ssl.SSLContext, rootcert: str) -> None:
    path = _file("sslrootcert", rootcert)
    try:
        context.load_verify_locations(cafile=path)
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"sslrootcert {path} cannot be read as certificates: write the path of a PEM file",
            setting="sslrootcert",
        ) from None


def _load_identity(context: ssl.SSLContext, cert: str, key: str | None) -> None:
    certificate = _file("sslcert", cert)
    private_key = _file("sslkey", key) if key else None
    try:
        # Without a password OpenSSL would ask for one on the terminal.
        context.load_cert_chain(certificate, private_key, password="")
    except (OSError, ssl.SSLError):
        raise ConfigurationError(
            f"sslcert {certificate} and its key cannot be read, do not belong together, or the key"
            " is encrypted",
            setting="sslcert",
        ) from None


def _file(setting: str, path: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigurationError(
            f"{setting} {file} is not a file: write the path of a PEM file", setting=setting
        )
    return file
