"""The database that a command uses.

In this order: `--url`; the database that the environment names; the server that `recollect db up`
started.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import repositories
from domain.errors import ConfigurationError, DatabaseUnavailable
from repositories.cli import compose

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.postgres.connection_target import ConnectionTarget
    from repositories.postgres.settings import Settings

POSTGRES: Final = "postgres"
"""The folder of the embedded server that `recollect db up` starts."""

DEMO: Final = "demo"
"""The folder of the demo's own server, whose embeddings have a dimension of their own."""

NAMES_A_DATABASE: Final = ("DATABASE_URL", "RECOLLECT_HOST", "RECOLLECT_DATABASE", "RECOLLECT_USER")
"""The port and the password are not among them: docker-compose.yml reads these variables too."""

CONNECT_DEADLINE_SECONDS: Final = 3.0
IN_DOCKER: Final = "PostgreSQL in Docker"
_START: Final = "start a database with `recollect db up` (`make db-up` in a checkout)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A database; `label` says in words which one."""

    label: str
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedServer:
    """The server that `recollect db up` started; `url` contains its password."""

    label: str
    url: SecretStr

    def target(self, deadline: float | None = None) -> Target:
        """Return its database, with all other settings from the environment."""
        return Target(label=self.label, settings=settings_for(self.url, deadline))


def named_in_environment() -> str | None:
    """Return the name of a variable that names a database, or None."""
    return next((name for name in NAMES_A_DATABASE if os.environ.get(name)), None)


def embedded_in(folder: Path) -> str:
    """Return the label of the embedded server of a folder."""
    return f"the embedded server in {folder}"


def checkout() -> Path | None:
    """Return the folder of the checkout that this package runs from; None if it is installed."""
    root = Path(repositories.__file__).parents[1]
    files = ("pyproject.toml", "docker-compose.yml")
    return root if all((root / name).is_file() for name in files) else None


def compose_file() -> Path | None:
    """Return the docker-compose.yml of the checkout; None outside of a checkout."""
    root = checkout()
    return None if root is None else root / "docker-compose.yml"


@contextmanager
def reach(
    data_dir: Path, *, url: str | None = None, deadline: float | None = None
) -> Iterator[Target]:
    """Find the database, and use it until the end of the block.

    Raises:
        ConfigurationError: No database is named and none runs, or the settings are not valid.
        DatabaseUnavailable: It does not answer; the message says what to do.
    """
    if url is not None:
        with _advice(f"check --url, or {_START}"):
            yield Target(label="the database of --url", settings=settings_for_option(url, deadline))
    elif (name := named_in_environment()) is not None:
        with _advice(f"check {name}, or unset it and {_START}"):
            yield Target(
                label=f"the database that {name} names", settings=environment_settings(deadline)
            )
    else:
        with started(data_dir) as server:
            if server is None:
                environment_settings(deadline)  # refuses misspelt variables such as RECOLLECT_URL
                raise ConfigurationError(f"no database runs: {_START}, or set DATABASE_URL")
            with _advice(f"check {server.label}"):
                yield server.target(deadline)


@contextmanager
def started(data_dir: Path) -> Iterator[StartedServer | None]:
    """Find the server that `recollect db up` started, and use it until the end of the block.

    The value is None if no server runs.
    """
    file = compose_file()
    if file is not None and compose.runs(file):
        yield StartedServer(label=IN_DOCKER, url=compose.url())
        return
    folder = data_dir / POSTGRES
    if not folder.is_dir():  # so that a command that finds nothing imports nothing
        yield None
        return
    from repositories.embedded import EmbeddedServer

    server = EmbeddedServer.find(folder)
    if server is None:
        yield None
        return
    with server:
        yield StartedServer(label=embedded_in(folder), url=server.url)


@contextmanager
def temporary() -> Iterator[Settings]:
    """Start an embedded server with an empty database; the end of the block deletes it."""
    from tempfile import TemporaryDirectory

    from repositories.embedded import EmbeddedServer

    fast = {"fsync": "off"}
    with (
        TemporaryDirectory(prefix="recollect-") as folder,
        EmbeddedServer.start(Path(folder) / POSTGRES, settings=fast) as server,
    ):
        yield settings_for(server.url)


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[AsyncEngine]:
    """Connect an engine, whatever revision the database is at.

    Raises:
        DatabaseUnavailable, AccessDenied: as `Database` does.
    """
    from repositories.postgres.connect import connect_with_retry
    from repositories.postgres.engine import create_engine

    engine = create_engine(settings)
    try:
        await connect_with_retry(engine, settings)
        yield engine
    finally:
        await engine.dispose()


def settings_for(url: SecretStr | ConnectionTarget, deadline: float | None = None) -> Settings:
    """Return the settings for a URL, the others from the environment."""
    from repositories.postgres.settings import Settings

    return _with_short_deadline(Settings(url=url, **_connect_deadline(deadline)))


def settings_for_option(url: str, deadline: float | None = None) -> Settings:
    """Return the settings for the option `--url`.

    Raises:
        ConfigurationError: It is not a URL that `DATABASE_URL` could have.
    """
    from repositories.postgres.url import parse_url

    return settings_for(parse_url(url, setting="--url"), deadline)


def environment_settings(deadline: float | None = None, **overrides: Any) -> Settings:
    """Return the settings of the environment."""
    from repositories.postgres.settings import Settings

    return _with_short_deadline(Settings.from_env(**overrides, **_connect_deadline(deadline)))


def _connect_deadline(seconds: float | None) -> dict[str, float]:
    return {} if seconds is None else {"connect_deadline": seconds}


def _with_short_deadline(settings: Settings) -> Settings:
    """Shorten the default deadline, which is for a service that starts beside its server."""
    from datetime import timedelta

    if "connect_deadline" in settings.model_fields_set:
        return settings
    deadline = timedelta(seconds=CONNECT_DEADLINE_SECONDS)
    return settings.model_copy(update={"connect_deadline": deadline})


@contextmanager
def _advice(what_to_do: str) -> Iterator[None]:
    try:
        yield
    except DatabaseUnavailable as error:
        raise DatabaseUnavailable(
            f"{error}; {what_to_do}; --connect-deadline waits longer",
            host=error.host,
            port=error.port,
            sqlstate=error.sqlstate,
        ) from None
