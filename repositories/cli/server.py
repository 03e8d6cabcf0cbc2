"""`recollect db up`, `down` and `url`: the server of a developer's machine."""

from __future__ import annotations

import asyncio
import shlex
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from domain.errors import ConfigurationError
from repositories.cli import compose, targets
from repositories.cli.options import DATA_DIR, DataDir, Json
from repositories.cli.output import note, result
from repositories.cli.targets import StartedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Embedded = Annotated[
    bool, typer.Option("--embedded", help="Use the embedded server even if Docker answers.")
]


def up(data_dir: DataDir = DATA_DIR, embedded: Embedded = False, as_json: Json = False) -> None:
    """Start PostgreSQL, and print its DATABASE_URL.

    The command migrates the database. The server starts in Docker if Docker's engine answers, and
    as an embedded server otherwise.
    """
    from repositories.cli import tasks

    with _starting(data_dir, embedded=embedded) as server:
        revision = asyncio.run(tasks.migrate(server.target().settings, "head"))
        note(f"{server.label} runs, at revision {revision}")
        if (name := targets.named_in_environment()) is not None:
            note(f"{name} is set: other commands use the database that it names")
        url = server.url.get_secret_value()
        result(
            f"DATABASE_URL={shlex.quote(url)}",
            {"database": server.label, "revision": revision, "url": url},
            as_json=as_json,
        )


def down(data_dir: DataDir = DATA_DIR, as_json: Json = False) -> None:
    """Stop the servers of `db up` and `demo`.

    Their data stays.
    """
    stopped = list(_stop(data_dir))
    sentence = f"stopped {' and '.join(stopped)}" if stopped else "no server runs"
    if as_json:
        result(sentence, {"stopped": stopped}, as_json=True)
    else:
        note(sentence)


def url(data_dir: DataDir = DATA_DIR, as_json: Json = False) -> None:
    """Print the URL of the server of `db up`.

    The URL contains the password.
    """
    with targets.started(data_dir) as server:
        if server is None:
            raise ConfigurationError("no server runs: start one with `recollect db up`")
        text = server.url.get_secret_value()
        result(text, {"database": server.label, "url": text}, as_json=as_json)


def _stop(data_dir: Path) -> Iterator[str]:
    file = targets.compose_file()
    if file is not None and compose.runs(file):
        compose.down(file)
        yield targets.IN_DOCKER
    for folder in (data_dir / targets.POSTGRES, data_dir / targets.DEMO):
        if folder.is_dir():
            from repositories.embedded import EmbeddedServer

            if (server := EmbeddedServer.find(folder)) is not None:
                server.stop()
                yield targets.embedded_in(folder)


@contextmanager
def _starting(data_dir: Path, *, embedded: bool) -> Iterator[StartedServer]:
    from repositories.embedded import EmbeddedServer

    file = None if embedded else targets.compose_file()
    if file is not None and compose.docker_answers():
        note(f"Docker answers: starting {targets.IN_DOCKER}")
        compose.up(file)
        yield StartedServer(label=targets.IN_DOCKER, url=compose.url())
        return
    folder = data_dir / targets.POSTGRES
    label = targets.embedded_in(folder)
    note(f"starting {label}" if embedded else f"Docker does not answer: starting {label}")
    with EmbeddedServer.start(folder, keep=True) as server:
        yield StartedServer(label=label, url=server.url)
