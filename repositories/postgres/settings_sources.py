"""The sources of settings: a URL, and the variables of the environment."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from pydantic import SecretStr
from pydantic_settings import EnvSettingsSource

from domain.errors import ConfigurationError
from repositories.postgres.connection_target import ConnectionTarget
from repositories.postgres.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX: Final = "RECOLLECT_"
URL_VARIABLE: Final = "DATABASE_URL"
# Names that docker-compose.yml and the scripts of the project read.
_NAMES_OF_COMMANDS: Final = frozenset(
    f"{PREFIX}{name}"
    for name in (
        "ADMIN_PASSWORD",
        "APPLICATION_PASSWORD",
        "CITUS_TAG",
        "CITUS_URL",
        "ENTITIES",
        "MIGRATOR_PASSWORD",
        "READER_PASSWORD",
        "PG_TAG",
    )
)
_AZURE: Final = f"{PREFIX}AZURE_"
# A URL in code replaces all of these, even those that it does not contain: a password for another
# host must not be sent to this one.
CONNECTION: Final = (
    *(
        "host",
        "port",
        "database",
        "user",
        "password",
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
    ),
    *("target_session_attrs", "application_name", "connect_timeout", "options"),
)


class Environment(EnvSettingsSource):
    """The variables of the environment; an unknown one with the prefix is refused."""

    def __call__(self) -> dict[str, Any]:
        _require_known_names(self.settings_cls.model_fields)
        values = super().__call__()
        if self.current_state.keys() >= set(CONNECTION):
            return {name: value for name, value in values.items() if name not in CONNECTION}
        url = os.environ.get(URL_VARIABLE)
        return with_url(values, url, named=URL_VARIABLE) if url else values


def _require_known_names(settings: Iterable[str]) -> None:
    """Raise ConfigurationError if a variable has our prefix without being a setting."""
    names = {f"{PREFIX}{name}".upper() for name in settings} | _NAMES_OF_COMMANDS
    for name in sorted(os.environ):
        upper = name.upper()
        if upper.startswith(PREFIX) and upper not in names and not upper.startswith(_AZURE):
            similar = get_close_matches(upper, names, 1, 0.5)
            if upper.endswith("URL"):
                similar = [URL_VARIABLE]
            advice = f": did you mean {similar[0]}?" if similar else ""
            shown = upper if re.fullmatch(r"\w{1,80}", upper, re.ASCII) else f"{PREFIX}…"
            raise ConfigurationError(
                f"the environment variable {shown} is not a setting{advice}",
                setting=shown.removeprefix(PREFIX).lower(),
            )


def with_url(values: dict[str, Any], url: object, *, named: str) -> dict[str, Any]:
    """Return the settings with those of the URL.

    Args:
        values: the settings that are given beside the URL.
        url: the URL: a string, a `SecretStr` or a parsed `ConnectionTarget`.
        named: the name of the setting or variable that holds it, for errors.

    Raises:
        ConfigurationError: the URL is malformed, or contradicts one of the settings.
    """
    parts = _parts(
        url if isinstance(url, ConnectionTarget) else parse_url(_text(url, named), setting=named)
    )
    for name in parts.keys() & values.keys():
        if plain(parts[name]) != plain(values[name]):
            other = f"{PREFIX}{name}".upper() if named == URL_VARIABLE else name
            raise ConfigurationError(
                f"{named} and {other} have different values: set one of them", setting=name
            )
    return values | parts


def _text(url: object, named: str) -> str:
    text = url.get_secret_value() if isinstance(url, SecretStr) else url
    if not isinstance(text, str):
        raise ConfigurationError(f"{named} must be a string", setting=named)
    return text


def _parts(target: ConnectionTarget) -> dict[str, Any]:
    parts: dict[str, Any] = {
        "database": target.database,
        "user": target.user,
        "password": target.password,
        **target.parameters,
    }
    ports = {address.port for address in target.addresses}
    if len(ports) == 1:
        parts |= {
            "host": ",".join(address.host for address in target.addresses),
            "port": ports.pop(),
        }
    elif ports:
        parts["host"] = ",".join(str(address) for address in target.addresses)
    return {name: value for name, value in parts.items() if value is not None}


def plain(value: object) -> str:
    """Return the value of a setting as a URL contains it."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return f"{value.total_seconds():g}" if isinstance(value, timedelta) else str(value)
