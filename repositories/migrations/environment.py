"""Alembic's configuration in code.

Without an alembic.ini, migrations run wherever the package is installed. Functions import Alembic,
so that a program that only opens a database does not.
"""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text

from repositories.migrations.options import OPTIONS, SchemaOptions
from repositories.migrations.requirements import VERSION_TABLE
from repositories.migrations.session import require_lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alembic.config import Config
    from alembic.runtime.migration import MigrationInfo
    from alembic.script import ScriptDirectory
    from sqlalchemy import Connection

PACKAGE: Final = Path(__file__).parent
VERSIONS: Final = PACKAGE / "versions"

ENVIRONMENT: Final = "environment"

_HAS_VERSION_TABLE: Final = text(f"SELECT to_regclass('{VERSION_TABLE}') IS NOT NULL")
_CURRENT_REVISION: Final = text(f"SELECT version_num FROM {VERSION_TABLE}")  # noqa: S608 -- a constant


@dataclass(frozen=True, kw_only=True)
class Environment:
    """A connection and options for Alembic.

    Attributes:
        connection: The connection, outside of a transaction.
        options: The options of the database.
        done: The ids of revisions that were applied or taken back, to which each is added.
        extra: What is added to Alembic's configuration.
    """

    connection: Connection
    options: SchemaOptions = field(default_factory=SchemaOptions)
    done: set[str | None] = field(default_factory=set)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def configuration(self) -> dict[str, Any]:
        """Return the arguments of `EnvironmentContext.configure`.

        Every revision is one transaction, and needs the lock.
        """
        return {
            "connection": self.connection,
            "version_table": VERSION_TABLE,
            "transaction_per_migration": True,
            "on_version_apply": self._complete,
            **self.extra,
        }

    def _complete(self, *, step: MigrationInfo, **_: Any) -> None:
        require_lock(self.connection)
        self.done.add(step.up_revision_id)


def configure(environment: Environment | None = None, directory: Path | None = None) -> Config:
    """Return Alembic's configuration; `directory` holds revisions beside those of the package."""
    from alembic.config import Config

    locations = [VERSIONS, *([] if directory is None else [directory.absolute()])]
    config = Config(cmd_opts=Namespace(quiet=True))
    options = {
        "script_location": PACKAGE,
        "version_locations": "\n".join(map(str, locations)),
        "path_separator": "newline",
        "file_template": "%(rev)s_%(slug)s",
    }
    for name, value in options.items():
        config.set_main_option(name, str(value).replace("%", "%%"))
    if environment is not None:
        config.attributes[ENVIRONMENT] = environment
        config.attributes[OPTIONS] = environment.options
    return config


def scripts(directory: Path | None = None) -> ScriptDirectory:
    """Return the revisions of the package, and of `directory`."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(configure(directory=directory))


def current_revision(connection: Connection) -> str | None:
    """Return the revision that a database is at; None before the first."""
    has_table = connection.scalar(_HAS_VERSION_TABLE)
    return connection.execute(_CURRENT_REVISION).scalar_one_or_none() if has_table else None
