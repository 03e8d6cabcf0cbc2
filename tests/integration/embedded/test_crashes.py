"""An embedded server after crashes of its processes and of programs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from domain.errors import EmbeddedServerError
from repositories.embedded import EmbeddedServer
from repositories.embedded.admin import Admin
from repositories.embedded.binaries import Installation
from repositories.embedded.credentials import Login
from repositories.embedded.waiting import Deadline
from tests.integration.embedded.support import (
    CHECKOUT,
    FAST,
    ROOT,
    ask,
    eventually_gone,
    is_alive,
    on_linux,
    processes_of,
    server_user,
    start,
)

if TYPE_CHECKING:
    pass


async def test_data_survives_a_restart(folder: Path) -> None:
    with start(folder) as server:
        await ask(server.url, "CREATE TABLE kept AS SELECT 'here' AS word")
    first = server.pid
    with start(folder) as server:
        assert server.pid != first
        assert await ask(server.url, "SELECT word FROM kept") == "here"


async def test_a_killed_main_process_is_survived_while_its_backend_still_works(
    folder: Path,
) -> None:
    server = start(folder)
    await ask(server.url, "CREATE TABLE kept AS SELECT 'here' AS word")
    busy = await asyncpg.connect(server.url.get_secret_value())
    backend = await busy.fetchval("SELECT pg_backend_pid()")
    # A loop without a wait: the backend does not notice that its parent is gone before it ends.
    loop = asyncio.create_task(
        busy.execute("DO $$ BEGIN FOR i IN 1..200000000 LOOP END LOOP; END $$")
    )
    await asyncio.sleep(0.1)
    os.kill(server.pid, signal.SIGKILL)
    assert is_alive(backend)
    with await asyncio.to_thread(start, folder) as again:
        assert not is_alive(backend)
        assert again.pid != server.pid
        assert await ask(again.url, "SELECT word FROM kept") == "here"
    with contextlib.suppress(asyncpg.PostgresError, OSError):
        await loop
    busy.terminate()
    server.release()


async def test_a_server_all_of_whose_processes_were_killed_is_started_again(folder: Path) -> None:
    server = start(folder)
    await ask(server.url, "CREATE TABLE kept AS SELECT 'here' AS word")
    killed = processes_of(server)
    for process in killed:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert eventually_gone([process.pid for process in killed])
    with start(folder) as again:
        assert await ask(again.url, "SELECT word FROM kept") == "here"
    server.release()


def stale(folder: Path, content: str) -> Path:
    """A cluster with a PID file that no server wrote."""
    with start(folder):
        pass
    pid_file = folder / "postgresql" / "postmaster.pid"
    pid_file.write_text(content)
    return pid_file


def test_a_stale_pid_file_that_names_an_unrelated_process_is_survived_and_so_is_the_process(
    folder: Path,
) -> None:
    # As the server's user, or PostgreSQL itself would see that it cannot be the server.
    with subprocess.Popen(["sleep", "60"], user=server_user().uid if ROOT else None) as sleeper:
        try:
            lines = [
                str(sleeper.pid),
                "/proc/self/cwd",
                str(int(time.time())),
                "5432",
                "/tmp",
                "",
                "  1234567         1",
                "ready",
            ]
            stale(folder, "\n".join(lines) + "\n")
            assert EmbeddedServer.find(folder) is None
            with start(folder) as server:
                assert server.pid != sleeper.pid
            assert sleeper.poll() is None
        finally:
            sleeper.kill()


@pytest.mark.parametrize("content", ["", "12", "4194303\n/proc/self/cwd\n", "nonsense\n" * 8])
def test_a_pid_file_that_is_empty_cut_short_or_nonsense_is_survived(
    folder: Path, content: str
) -> None:
    stale(folder, content)
    with start(folder) as server:
        assert is_alive(server.pid)


@on_linux
def test_a_killed_server_that_stays_a_zombie_counts_as_dead(folder: Path) -> None:
    # As in a container whose first process does not reap: the program adopts the server and never
    # waits for it.
    code = f"""
import ctypes, os, psutil, signal, sys
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER
from repositories.embedded import EmbeddedServer
first = EmbeddedServer.start(sys.argv[1], settings={FAST!r})
assert psutil.Process(first.pid).ppid() == os.getpid()
os.kill(first.pid, signal.SIGKILL)
second = EmbeddedServer.start(sys.argv[1], settings={FAST!r})
assert psutil.Process(first.pid).status() == "zombie", "this test needs one"
assert second.pid != first.pid
first.release(); second.release()
assert EmbeddedServer.find(sys.argv[1]) is None
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


async def test_a_server_whose_socket_was_cleaned_away_is_replaced(folder: Path) -> None:
    with start(folder) as server:
        shutil.rmtree(server.socket_dir)
        with start(folder) as again:
            assert again.pid != server.pid
            assert await ask(again.url, "SELECT 1") == 1


def test_a_cluster_that_was_half_made_is_made_again(fresh: Path) -> None:
    (fresh / "postgresql.unfinished" / "base").mkdir(parents=True)
    (fresh / "start.lock").touch()
    with start(fresh) as server:
        assert is_alive(server.pid)
        assert not (fresh / "postgresql.unfinished").exists()


async def test_a_first_start_may_be_killed_at_any_moment(fresh: Path) -> None:
    code = """
import os, signal, sys, time
from repositories.embedded import EmbeddedServer
for seconds in (0.02, 0.05, 0.1, 0.2, 0.4, 0.8):
    child = os.fork()
    if child == 0:
        EmbeddedServer.start(sys.argv[1])
        signal.pause()
    time.sleep(seconds)
    os.kill(child, 9)
    os.waitpid(child, 0)
"""
    await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(fresh)], cwd=CHECKOUT, check=True
    )
    with await asyncio.to_thread(start, fresh) as server:
        assert await ask(server.url, "SELECT '[1,2]'::vector <-> '[1,3]'") == 1


async def test_a_start_waits_for_a_server_that_recovers_from_a_crash(folder: Path) -> None:
    with start(folder) as server:
        for _ in range(3):
            session = await asyncpg.connect(server.url.get_secret_value())
            os.kill(session.get_server_pid(), signal.SIGKILL)
            with await asyncio.to_thread(start, folder) as other:
                assert other.pid == server.pid


def test_a_login_is_repeated_while_the_server_recovers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = tmp_path / "tries"
    psql = tmp_path / "psql"
    psql.write_text(
        "#!/bin/sh\n"
        f'echo >> "{tries}"; [ $(wc -l < "{tries}") -gt 2 ] && exit 0\n'
        'echo "psql: error: FATAL:  the database system is in recovery mode" >&2; exit 2\n'
    )
    psql.chmod(0o700)
    monkeypatch.setattr(Installation, "program", lambda *_: str(psql))
    login = Login(folder, 5432, "postgres", SecretStr("secret"))
    admin = Admin(Installation(18, folder), login)
    admin.prepare(SecretStr("secret"), Deadline(timedelta(seconds=30)))
    assert len(tries.read_text()) == 3
    tries.unlink()
    with pytest.raises(EmbeddedServerError, match="recovery mode"):
        admin.prepare(SecretStr("secret"), Deadline(timedelta(0)))


def test_a_server_whose_folder_was_deleted_ends_with_its_program(folder: Path) -> None:
    with start(folder) as server:
        shutil.rmtree(folder)
    assert eventually_gone([server.pid])
    shutil.rmtree(server.socket_dir, ignore_errors=True)
