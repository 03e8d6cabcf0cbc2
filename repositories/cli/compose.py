"""PostgreSQL in Docker for development: `docker compose` starts and stops it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from domain.errors import ConfigurationError, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydantic import SecretStr

ANSWER_WITHIN_SECONDS = 5.0
PULL_WITHIN_SECONDS = 900.0
STOP_WITHIN_SECONDS = 120.0


def docker_answers() -> bool:
    """Return, within five seconds, whether Docker's engine answers and Compose is installed."""
    deadline = time.monotonic() + ANSWER_WITHIN_SECONDS
    commands = (["version", "--format", "{{.Server.Version}}"], ["compose", "version"])
    return all(_succeeds(command, seconds=deadline - time.monotonic()) for command in commands)


def up(compose_file: Path, *, wait_seconds: float = 60.0) -> None:
    """Start PostgreSQL, and return when it is healthy; Docker's own output goes to standard error.

    Args:
        compose_file: the docker-compose.yml.
        wait_seconds: how long the server may take, without the download of the image, which may
            take 15 minutes.

    Raises:
        ConfigurationError: Docker, its engine or the file is missing.
        DatabaseUnavailable: The server is not healthy in time.
    """
    command = _compose(
        compose_file, "up", "--detach", "--wait", "--wait-timeout", str(max(1, round(wait_seconds)))
    )
    if not docker_answers():
        raise ConfigurationError(
            "Docker's engine does not answer: start it, or use the embedded server"
        )
    if not _succeeds(command, seconds=wait_seconds + PULL_WITHIN_SECONDS, show=True):
        raise DatabaseUnavailable(
            f"PostgreSQL in Docker was not healthy within {wait_seconds:g} s: "
            "run `docker compose logs` to see why",
            host="127.0.0.1",
            port=_port(os.environ),
        )


def down(compose_file: Path) -> None:
    """Stop PostgreSQL and remove its container; the data stays in its volume.

    Raises:
        ConfigurationError: Docker or the file is missing.
        DatabaseUnavailable: The server did not stop.
    """
    if not _succeeds(_compose(compose_file, "down"), seconds=STOP_WITHIN_SECONDS, show=True):
        raise DatabaseUnavailable(
            "PostgreSQL in Docker did not stop: run `docker compose ps` to see what runs"
        )


def runs(compose_file: Path) -> bool:
    """Return, within five seconds, whether PostgreSQL runs in Docker and accepts connections."""
    ready = ("exec", "--no-TTY", "postgres", "pg_isready", "--quiet", "--host", "127.0.0.1")
    return shutil.which("docker") is not None and _succeeds(
        _compose(compose_file, *ready), seconds=ANSWER_WITHIN_SECONDS
    )


def url(environment: Mapping[str, str] | None = None) -> SecretStr:
    """Return the URL of the server of `docker-compose.yml`, from the variables that the file reads.

    Raises:
        ConfigurationError: `RECOLLECT_PORT` is not a port.
    """
    from pydantic import SecretStr

    variables = os.environ if environment is None else environment
    password = quote(variables.get("RECOLLECT_PASSWORD") or "recollect", safe="")
    return SecretStr(f"postgresql://recollect:{password}@127.0.0.1:{_port(variables)}/recollect")


def _port(variables: Mapping[str, str]) -> int:
    port = variables.get("RECOLLECT_PORT") or "5432"
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ConfigurationError(
            "RECOLLECT_PORT must be a port from 1 to 65535", setting="RECOLLECT_PORT"
        )
    return int(port)


def _compose(compose_file: Path, *arguments: str) -> list[str]:
    if shutil.which("docker") is None:
        raise ConfigurationError("Docker is not installed: install it, or use the embedded server")
    if not compose_file.is_file():
        raise ConfigurationError(f"{compose_file} does not exist: run the command in a checkout")
    return ["compose", "--file", str(compose_file), *arguments]


def _succeeds(arguments: Sequence[str], *, seconds: float, show: bool = False) -> bool:
    docker = shutil.which("docker")
    if docker is None or seconds <= 0:
        return False
    try:
        process = subprocess.run(
            [docker, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=None if show else subprocess.DEVNULL,
            # Without this Compose reads a .env file too, and `url` would name another server than
            # the one that runs.
            env={**os.environ, "COMPOSE_DISABLE_ENV_FILE": "1"},
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return process.returncode == 0
