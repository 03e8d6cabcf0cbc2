"""Helpers for the tests of the embedded server: programs that use one, and their processes."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from repositories.embedded import EmbeddedServer
from repositories.embedded.account import Account

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = os.geteuid() == 0
FAST = {"fsync": "off", "max_connections": "20", "shared_buffers": "16MB"}
CHECKOUT = Path(__file__).parents[3]

as_root = pytest.mark.skipif(not ROOT, reason="only root can become another user of this machine")
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc, or needs a system call of Linux"
)

# A program like any other: uses the server of a folder, says its process id, and leaves when its
# input ends.
PROGRAM = """
import sys
from repositories.embedded import EmbeddedServer
with EmbeddedServer.start(sys.argv[1], settings={"fsync": "off"}) as server:
    print(server.pid, server.url.get_secret_value(), flush=True)
    sys.stdin.read()
"""

# Attacks by another user of the machine.
TRESPASS = """
import socket, sys
for attempt in (socket.socket(socket.AF_UNIX).connect, os.listdir, open):
    try:
        attempt(sys.argv.pop(1))
        print("succeeded")
    except OSError as error:
        print(type(error).__name__)
"""


async def ask(url: SecretStr | str, query: str) -> object:
    text = url if isinstance(url, str) else url.get_secret_value()
    connection = await asyncpg.connect(text, timeout=10)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def start(folder: Path, **options: object) -> EmbeddedServer:
    return EmbeddedServer.start(folder, settings=FAST, **options)  # type: ignore[arg-type]  # passed on as they are


def program(folder: Path, groups: list[int] | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        extra_groups=groups if ROOT else None,
    )


def said(running: subprocess.Popen[str]) -> tuple[int, str]:
    assert running.stdout is not None
    pid, url = running.stdout.readline().split()
    return int(pid), url


def finish(running: subprocess.Popen[str]) -> None:
    running.communicate(timeout=60)
    assert running.returncode == 0


def processes_of(server: EmbeddedServer) -> list[psutil.Process]:
    postmaster = psutil.Process(server.pid)
    return [postmaster, *postmaster.children(recursive=True)]


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def eventually_gone(pids: list[int]) -> bool:
    end = time.monotonic() + 10
    while time.monotonic() < end and any(map(is_alive, pids)):
        time.sleep(0.02)
    return not any(map(is_alive, pids))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def run_as(user: str, code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python that drops root for good after it has loaded modules below root's home."""
    entry = pwd.getpwnam(user)
    drop = f"os.setgroups([]); os.setgid({entry.pw_gid}); os.setuid({entry.pw_uid}); os.chdir('/')"
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"import os, psutil\nfrom repositories.embedded import EmbeddedServer\n{drop}\n{code}",
        ]
        + [str(argument) for argument in arguments],
        env={"PATH": os.environ["PATH"], "HOME": entry.pw_dir},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def server_user() -> Account:
    return Account.for_server()


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everyone can pass, which pytest's own are not.

    The server has to be private by itself.
    """
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)
