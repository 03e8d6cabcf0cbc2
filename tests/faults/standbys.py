"""A primary and its streaming standby, both embedded servers, made of the wheel's own programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import timedelta
from typing import TYPE_CHECKING

from repositories.embedded import EmbeddedServer
from repositories.embedded.binaries import Installation
from repositories.embedded.directory import DataDirectory
from repositories.embedded.waiting import Deadline
from repositories.postgres.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

SMALL = {"max_connections": "30", "shared_buffers": "16MB", "fsync": "off"}


def start(folder: Path, port: int) -> EmbeddedServer:
    return EmbeddedServer.start(folder, version=18, settings=SMALL, tcp_port=port)


def make_standby(primary: EmbeddedServer, folder: Path) -> None:
    """Copy the primary into a folder that `start` makes a streaming standby of."""
    directory = DataDirectory.prepare(folder)
    shutil.copy2(DataDirectory(primary.data_dir).credentials, directory.credentials)
    admin = Settings(url=primary.admin_url)
    assert admin.password is not None
    command = [
        Installation.of(primary.version).program("pg_basebackup"),
        "--pgdata",
        str(directory.cluster),
        "--write-recovery-conf",
        "--checkpoint=fast",
        "--host",
        admin.host,
        "--port",
        str(admin.port),
        "--username",
        admin.user,
        "--no-password",
    ]
    environment = {**os.environ, "PGPASSWORD": admin.password.get_secret_value()}
    with directory.starting(Deadline(timedelta(seconds=30))):
        subprocess.run(command, env=environment, check=True, capture_output=True)


def make_it_follow(folder: Path) -> None:
    """Let a server that was the primary start again as a standby."""
    (DataDirectory(folder).cluster / "standby.signal").touch()


def at(primary: EmbeddedServer, *ports: int, **settings: object) -> Settings:
    """The application's settings with these ports of this machine as hosts, in this order."""
    base = Settings(url=primary.tcp_url)
    parts = {
        "database": base.database,
        "user": base.user,
        "password": base.password,
        "embedding_dimensions": 8,
    }
    return Settings(
        host=",".join(f"127.0.0.1:{port}" for port in ports),
        connect_timeout=1,
        **{**parts, **settings},
    )
