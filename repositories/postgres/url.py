"""Parses the address of a database, in the forms of libpq and SQLAlchemy.

An error names the setting or the parameter and repeats no value, because the text in the place of a
host may be a part of the password.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from pydantic import SecretStr

from domain.errors import ConfigurationError
from repositories.postgres.connection_target import (
    DEFAULT_PORT,
    PARAMETERS,
    Address,
    ConnectionTarget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SCHEMES: Final = frozenset({"postgres", "postgresql", "postgresql+asyncpg"})
_ALIASES: Final = {"dbname": "database", "ssl": "sslmode"}
_OF_THE_URL_ITSELF: Final = frozenset({"host", "port", "database", "user", "password"})
_ENCODE: Final = "percent-encode the user name and the password (@ is %40, / is %2F, ? is %3F)"
_BRACKETED: Final = re.compile(r"\[([^\]]+)\](?::(.*))?", re.DOTALL)
_SOCKET: Final = re.compile(r"(/.*?)(?::(\d+))?", re.DOTALL)
_NOT_A_HOST: Final = re.compile(r"[\s/@?#\[\]]")
_QUOTES: Final = ("'", '"', "\ufeff")
"""Characters around a URL in an env file whose reader does not remove them."""

_OPTION: Final = re.compile(
    r"(?:-c\s*|--)([A-Za-z_][A-Za-z0-9_.-]*)=((?:\\.|[^\s\\])*)(?:\s+|$)", re.DOTALL
)


def parse_url(text: str, *, setting: str = "url") -> ConnectionTarget:
    """Parse a URL; `setting` is its name in errors.

    Write several hosts as `h1:1,h2:2`, as `?host=h1:1&host=h2:2` or as `?host=h1,h2&port=1,2`.
    Write the folder of a socket as `?host=/path`, or percent-encoded in place of the host. In a
    password, percent-encode `/`, `?`, and `%` before two hexadecimal digits; other characters may
    stand as they are. A `+` is a plus sign.

    Raises:
        ConfigurationError: the scheme or a parameter is unknown, or a part is malformed.
    """
    if text.strip().startswith(_QUOTES):
        raise _refused(setting, "starts with a quotation mark or a byte order mark: remove it")
    scheme, separator, rest = text.strip().partition("://")
    if not separator or scheme.lower() not in SCHEMES:
        raise _refused(setting, _scheme_advice(scheme))
    head, _, query = rest.partition("?")
    authority, _, path = head.partition("/")
    if "@" in path or "/" in path:
        raise _refused(setting, f"has a '@' or '/' after the database's name: {_ENCODE}")
    if re.search(r"\s", path):
        raise _refused(
            setting,
            "has a blank after the database's name: remove the blank and what follows, such as a"
            " comment, or write %20 for a blank in the name",
        )
    credentials, at, hosts = authority.rpartition("@")
    user, colon, password = credentials.partition(":")
    parts: dict[str, list[str]] = {
        "host": [hosts] if hosts else [],
        "database": [_decoded(path, setting)] if path else [],
    }
    parts["user"] = [_decoded(user, setting)] if at and user else []
    parts["password"] = [_decoded(password, setting)] if colon else []
    _add_query(parts, query, setting)
    return _assembled(parts, setting)


def parse_addresses(
    text: str, *, port: str | int | None = None, setting: str = "host"
) -> tuple[Address, ...]:
    """Parse `h1:1,h2:2`.

    `port` is the default: one for all hosts, or one for each, separated by commas.
    """
    hosts = text.split(",")
    ports = str(port).split(",") if port is not None else [str(DEFAULT_PORT)]
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise _refused(setting, f"names {len(hosts)} hosts and {len(ports)} ports")
    return tuple(
        _address(host.strip(), default, setting) for host, default in zip(hosts, ports, strict=True)
    )


def parse_options(text: str) -> dict[str, str]:
    """Parse libpq's `options`: `-c name=value` or `--name=value`, separated by blanks.

    Write a backslash before a blank that belongs to the value.
    """
    options: dict[str, str] = {}
    rest = text.strip()
    while rest:
        match = _OPTION.match(rest)
        if match is None:
            raise _refused(
                "options", "must be written as -c name=value, with blanks between several"
            )
        options[match[1].replace("-", "_")] = re.sub(r"\\(.)", r"\1", match[2])
        rest = rest[match.end() :]
    return options


def _refused(setting: str, reason: str) -> ConfigurationError:
    return ConfigurationError(f"{setting} {reason}", setting=setting)


def _scheme_advice(scheme: str) -> str:
    if re.fullmatch(r"postgres(ql)?\+[a-z0-9_]{1,20}", scheme.lower()):
        return f"must start with postgresql://, not {scheme}://: the driver is always asyncpg"
    return "must start with postgresql://, as in postgresql://user:password@host:5432/database"


def _decoded(text: str, setting: str) -> str:
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        decoded = "\0"
    if "\0" in decoded:
        raise _refused(setting, "has a percent-encoded character that is not UTF-8, or a NUL")
    return decoded


def _add_query(parts: dict[str, list[str]], query: str, setting: str) -> None:
    for pair in filter(None, query.split("&")):
        written, equals, value = pair.partition("=")
        name = _ALIASES.get(written, written)
        if not equals or (name not in PARAMETERS | _OF_THE_URL_ITSELF | {"channel_binding"}):
            raise _unknown(setting, written, known_form=bool(equals) and "@" not in query)
        if name == "channel_binding" and value == "require":
            raise _refused(
                setting,
                "asks for channel_binding=require, which asyncpg cannot do: use "
                "sslmode=verify-full",
            )
        if value and name != "channel_binding":
            parts.setdefault(name, []).append(_decoded(value, setting))


def _unknown(setting: str, name: str, *, known_form: bool) -> ConfigurationError:
    # A '@' or a missing '=' shows that the '?' is a part of the password, not the start of the
    # parameters.
    if known_form and re.fullmatch(r"\w{1,40}", name):
        return _refused(setting, f"has the parameter {name}, which is not supported")
    return _refused(setting, f"has something after '?' that is not a parameter: {_ENCODE}")


def _assembled(parts: dict[str, list[str]], setting: str) -> ConnectionTarget:
    hosts = ",".join(parts.pop("host"))
    ports = parts.pop("port", [])
    addresses = (
        parse_addresses(hosts or "localhost", port=",".join(ports) or None, setting=setting)
        if hosts or ports
        else ()
    )
    single = {name: _only(name, values, setting) for name, values in parts.items() if values}
    if single.get("sslmode") == "true":
        single["sslmode"] = "require"
    password = single.pop("password", None)
    return ConnectionTarget(
        addresses=addresses,
        database=single.pop("database", None),
        user=single.pop("user", None),
        password=None if password is None else SecretStr(password),
        parameters=single,
    )


def _only(name: str, values: Sequence[str], setting: str) -> str:
    if len(set(values)) > 1:
        raise _refused(setting, f"has two different values of {name}")
    return values[0]


def _address(text: str, default: str, setting: str) -> Address:
    text = _decoded(text, setting)
    if text.startswith("/"):
        match = _SOCKET.fullmatch(text)
    elif text.startswith("["):
        match = _BRACKETED.fullmatch(text)
    else:
        match = None
    if match is not None:
        host, port = match[1], match[2]
    elif text.count(":") > 1:
        host, port = text, None
    else:
        host, _, port = text.partition(":")
    if not host or (not text.startswith("/") and _NOT_A_HOST.search(host)):
        raise _refused(
            setting,
            "names a host that is not valid" + (f": {_ENCODE}" if setting != "host" else ""),
        )
    return Address(host, _port(port or default, setting))


def _port(text: str, setting: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise _refused(setting, "has a port that is not a number from 1 to 65535")
    return int(text)
