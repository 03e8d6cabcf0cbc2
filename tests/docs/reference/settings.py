"""The page of settings: every name with its type, default, limits and environment variable."""

from __future__ import annotations

import typing
from enum import Enum

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from repositories.postgres.settings import Settings
from repositories.postgres.settings_sources import PREFIX, URL_VARIABLE
from tests.docs.reference.limits import default_of, limits_of
from tests.docs.reference.markdown import code, table

HEAD = f"""\
# Settings

`Settings` describes one database. Its values come from the environment or from code; this page \
lists all of them. It is generated
from the code by `make docs`.

- `Database.from_env()` reads the environment. `Database.from_url("postgresql://…", pool_size=5)` \
and
  `Database.embedded("folder", …)` take the same names as keywords, and so does `Settings(…)`.
- A value in code takes precedence over the environment. A URL or a host in code replaces the \
whole connection of the environment, which is
  then not read. So a `DATABASE_URL` of your application does not affect `Database.embedded`.
- A variable with the prefix `RECOLLECT_` that does not name a setting, such as a misspelt one, \
raises `ConfigurationError`, which names the nearest setting.
- `{URL_VARIABLE}` holds the connection as a URL: \
`postgresql://user:password@host:5432/database?sslmode=verify-full`. If a part of the
  URL and its own variable differ, opening the database raises `ConfigurationError`.
- An empty variable counts as not set. Durations are numbers of seconds, or `timedelta` in code.
- Settings are immutable. Derive others from them with `settings.model_copy(update=…)`.
- `settings.addresses` has the hosts to try, with their ports, in order.
"""

TAIL = f"""
## Modules of own entities

The commands read `{PREFIX}ENTITIES`, or the option `--entities`: the names of the modules that \
define entities of your own, separated by commas
([add your own tables](../howto/extend.md)). It is not a setting of a database.

## Passwords of roles

`recollect db roles` reads `{PREFIX}MIGRATOR_PASSWORD`, `{PREFIX}APPLICATION_PASSWORD` and \
`{PREFIX}READER_PASSWORD`
([row-level security and roles](../howto/row_level_security.md)). They are not settings of a \
database.
"""


def page() -> str:
    """Return the page."""
    rows = (_row(name, field) for name, field in Settings.model_fields.items())
    headings = ("setting", "environment variable", "type", "default", "meaning")
    return f"{HEAD}\n{table(headings, rows)}\n{TAIL}"


def _row(name: str, field: FieldInfo) -> tuple[str, str, str, str, str]:
    limits = limits_of(field)
    types = _type(field) + (f", {limits}" if limits else "")
    default = default_of(field, generated="see the meaning")
    variable = code(f"{PREFIX}{name}".upper())
    return code(name), variable, types, default, field.description or ""


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(code(choice) for choice in typing.get_args(annotation))
    options = [
        each for each in typing.get_args(annotation) or (annotation,) if each is not type(None)
    ]
    return " or ".join(_name(option) for option in options)


def _name(annotation: object) -> str:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return " or ".join(code(member.value) for member in annotation)
    if annotation is SecretStr:
        return "`str` or `SecretStr`"
    return (
        "seconds"
        if getattr(annotation, "__name__", "") == "timedelta"
        else code(getattr(annotation, "__name__", annotation))
    )
