"""Who can use an embedded server, and read what it stores."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest

from domain.errors import EmbeddedServerError
from repositories.embedded import EmbeddedServer
from repositories.embedded.account import SYSTEM_USER
from repositories.embedded.binaries import COPIES, Installation, open_to_everyone
from repositories.embedded.waiting import Deadline
from tests.integration.embedded.support import (
    CHECKOUT,
    FAST,
    ROOT,
    TRESPASS,
    as_root,
    ask,
    finish,
    mode_of,
    on_linux,
    open_folder,
    program,
    run_as,
    said,
    server_user,
    start,
)

if TYPE_CHECKING:
    pass


async def test_the_application_owns_its_database_and_is_no_superuser(fresh: Path) -> None:
    with start(fresh) as server:
        roles = (
            "SELECT rolname, rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, "
            "rolreplication FROM pg_roles WHERE rolcanlogin"
        )
        connection = await asyncpg.connect(server.url.get_secret_value())
        rights = {row[0]: tuple(row)[1:] for row in await connection.fetch(roles)}
        owner = await connection.fetchval(
            "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute("ALTER ROLE recollect SUPERUSER")
        await connection.close()
        assert rights == {"postgres": (True,) * 5, "recollect": (False,) * 5}
        assert owner == "recollect"
        assert (
            await ask(
                server.admin_url, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
            )
            is True
        )


async def test_every_user_needs_a_password_even_the_owner_of_the_socket(fresh: Path) -> None:
    install = Installation.of(18).runnable_by(server_user(), Deadline(timedelta(seconds=60)))
    psql = [install.program("psql"), "-w", "-d", "recollect", "-c", "SELECT 1"]
    with start(fresh) as server:
        for role in ("recollect", "postgres"):
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(
                    host=str(server.socket_dir), user=role, password="wrong", database="recollect"
                )
            for user in {os.geteuid(), server.socket_dir.stat().st_uid}:
                done = await asyncio.to_thread(
                    run_without_password, [*psql, "-h", str(server.socket_dir), "-U", role], user
                )
                assert done.returncode == 2
                assert "no password supplied" in done.stderr
        rules = await ask(
            server.admin_url, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules"
        )
        assert rules == ["scram-sha-256"]


def run_without_password(command: list[str], user: int) -> subprocess.CompletedProcess[str]:
    become = user if ROOT else None
    return subprocess.run(
        command,
        env={"HOME": "/nonexistent"},
        capture_output=True,
        text=True,
        check=False,
        user=become,
    )


def test_what_it_keeps_is_closed_to_others_and_the_folders_above_are_left_alone(
    tmp_path: Path,
) -> None:
    above = tmp_path / "private" / "project"
    above.mkdir(parents=True)
    above.parent.chmod(0o711)
    modes = {path: mode_of(path) for path in (above, *above.parents)}
    with start(above / "data") as server:
        assert {path: mode_of(path) for path in modes} == modes
        owner = server_user()
        assert (
            mode_of(server.socket_dir)
            == mode_of(server.data_dir)
            == mode_of(server.data_dir / "postgresql")
            == 0o700
        )
        assert (
            server.socket_dir.stat().st_uid
            == (server.data_dir / "postgresql").stat().st_uid
            == owner.uid
        )
        assert server.data_dir.stat().st_uid == os.geteuid()
        files = [path for path in server.data_dir.iterdir() if path.is_file()]
        assert {path.name for path in files} >= {"credentials.json", "server.log"}
        assert {mode_of(path) for path in files} == {0o600}
        assert mode_of(server.socket_dir / f".s.PGSQL.{server.port}") == 0o700
    assert {path: mode_of(path) for path in modes} == modes


def test_an_existing_empty_folder_is_closed_to_others(fresh: Path) -> None:
    fresh.mkdir(mode=0o755)
    with start(fresh):
        assert mode_of(fresh) == 0o700


@on_linux
def test_the_server_has_no_privileged_user_or_group(folder: Path) -> None:
    user = program(folder, groups=[0, 4])
    try:
        pid, _ = said(user)
        for process in (psutil.Process(pid), *psutil.Process(pid).children(recursive=True)):
            try:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError):
                assert process.pid != pid
                continue  # a backend that has done its work
            status = dict(line.split(":", 1) for line in lines)
            assert 0 not in {*map(int, status["Uid"].split()), *map(int, status["Gid"].split())}
            if ROOT:
                assert status["Groups"].split() == []
                assert int(status["Uid"].split()[0]) == pwd.getpwnam(SYSTEM_USER).pw_uid
    finally:
        finish(user)


@as_root
async def test_another_user_of_the_machine_cannot_connect_at_a_long_path() -> None:
    with open_folder() as base:
        folder = Path(base, *["long-folder-name-" * 2] * 7, "data")
        assert len(str(folder)) > 200
        with start(folder) as server:
            path = server.socket_dir / f".s.PGSQL.{server.port}"
            assert len(str(path)) <= 100
            tried = await asyncio.to_thread(
                run_as, "nobody", TRESPASS, path, folder, folder / "credentials.json"
            )
            assert tried.stdout.split() == ["PermissionError"] * 3, tried.stderr
            assert await ask(server.url, "SELECT 1") == 1


@on_linux
def test_without_a_tcp_port_the_server_listens_on_its_socket_alone(folder: Path) -> None:
    with start(folder) as server:
        assert psutil.Process(server.pid).net_connections("inet") == []
        assert server.tcp_url is None


async def test_with_a_tcp_port_it_listens_on_the_loopback_and_asks_for_the_password(
    folder: Path,
) -> None:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with start(folder, tcp_port=port) as server:
        assert {at.laddr.ip for at in psutil.Process(server.pid).net_connections("inet")} == {
            "127.0.0.1"
        }
        assert server.tcp_url is not None
        assert urlsplit(server.tcp_url.get_secret_value()).port == server.port == port
        assert await ask(server.tcp_url, "SELECT 1") == await ask(server.url, "SELECT 1") == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(
                host="127.0.0.1",
                port=port,
                user="recollect",
                password="wrong",
                database="recollect",
            )
        with pytest.raises(EmbeddedServerError, match="does not listen on"):
            start(folder, tcp_port=port + 1)
        assert await ask(server.url, "SELECT 1") == 1


@pytest.mark.parametrize("trap", ["open folder", "link", "file"])
def test_a_socket_folder_that_another_user_prepared_is_refused(
    folder: Path, tmp_path: Path, trap: str
) -> None:
    with start(folder) as server:
        expected = server.socket_dir
    if trap == "open folder":
        expected.mkdir()
        expected.chmod(0o777)
    elif trap == "link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        expected.symlink_to(tmp_path / "elsewhere")
    else:
        expected.touch(mode=0o600)
    try:
        with pytest.raises(EmbeddedServerError, match="is not private"):
            start(folder)
    finally:
        expected.rmdir() if trap == "open folder" else expected.unlink()


@as_root
def test_a_socket_folder_of_another_user_is_refused(folder: Path) -> None:
    with start(folder) as server:
        expected = server.socket_dir
    expected.mkdir(mode=0o700)
    nobody = pwd.getpwnam("nobody")
    os.chown(expected, nobody.pw_uid, nobody.pw_gid)
    try:
        with pytest.raises(EmbeddedServerError, match="is not private"):
            start(folder)
    finally:
        expected.rmdir()


@as_root
def test_an_ordinary_user_has_a_server_of_its_own() -> None:
    nobody = pwd.getpwnam("nobody")
    code = f"""
import psutil, sys
with EmbeddedServer.start(sys.argv[1], settings={FAST!r}) as server:
    assert psutil.Process(server.pid).uids().real == os.getuid() != 0
    server.create_database("other")
    print(server.socket_dir)
"""
    if not open_to_everyone(Installation.of(18).root / "bin/postgres"):
        pytest.skip("an ordinary user cannot reach this virtual environment")
    with open_folder() as base:
        os.chown(base, nobody.pw_uid, nobody.pw_gid)
        done = run_as("nobody", code, base / "data")
        assert done.returncode == 0, done.stderr
        assert not Path(done.stdout.strip()).exists()
        with pytest.raises(EmbeddedServerError, match=f"belongs to user id {nobody.pw_uid}"):
            start(base / "data")


@as_root
def test_binaries_that_the_servers_user_cannot_reach_are_copied_once_to_where_it_can(
    tmp_path: Path,
) -> None:
    private = tmp_path / "venv"
    private.mkdir(mode=0o700)
    package = Installation.of(18).root.parent
    for path in package.parent.glob(f"{package.name}*"):
        shutil.copytree(
            path, private / path.name, ignore=shutil.ignore_patterns("pginstall", "include", "*.a")
        )
    record = next(private.glob("*.dist-info")) / "RECORD"
    record.write_text(
        f"{record.read_text()}{tmp_path}/,,\n"
    )  # a build of its own, so that no other test uses the copy
    code = f"""
import sys
from repositories.embedded import EmbeddedServer
for turn in range(2):
    with EmbeddedServer.start(sys.argv[1], settings={FAST!r}) as server:
        print(__import__("psutil").Process(server.pid).exe())
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "data")],
        env={**os.environ, "PYTHONPATH": f"{private}:{CHECKOUT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    first, second = map(Path, done.stdout.split())
    copy = COPIES / first.relative_to(COPIES).parts[0]
    try:
        assert first == second
        assert {path.stat().st_uid for path in (copy, *copy.rglob("*"))} == {0}
        assert not any(
            mode_of(path) & 0o022
            for path in (COPIES, copy, *copy.rglob("*"))
            if not path.is_symlink()
        )
        assert mode_of(private) == 0o700
    finally:
        shutil.rmtree(copy)


@as_root
async def test_a_volume_whose_files_have_another_number_is_taken_over(folder: Path) -> None:
    with start(folder) as server:
        await ask(server.url, "CREATE TABLE kept AS SELECT 'here' AS word")
    cluster = folder / "postgresql"
    for path in (cluster, *cluster.rglob("*")):
        os.chown(path, 54321, 54321, follow_symlinks=False)
    with start(folder) as server:
        assert await ask(server.url, "SELECT word FROM kept") == "here"


async def test_no_password_shows_in_a_representation_an_error_or_the_log(folder: Path) -> None:
    with EmbeddedServer.start(
        folder, settings={**FAST, "log_statement": "all", "log_min_duration_statement": "0"}
    ) as server:
        secrets = [
            urlsplit(url.get_secret_value()).password for url in (server.url, server.admin_url)
        ]
        with pytest.raises(EmbeddedServerError) as failed:
            server.create_database("postgres")
        with contextlib.suppress(asyncpg.PostgresError):
            await ask(server.url, "SELECT 1 / 0")
        shown = "".join(
            (
                repr(server),
                str(server.url),
                repr(server.admin_url),
                repr(vars(server)),
                str(failed.value),
                repr(failed.value),
                (folder / "server.log").read_text(),
                " ".join(psutil.Process(server.pid).cmdline()),
            )
        )
        assert "division by zero" in shown
        for secret in secrets:
            assert secret
            assert secret not in shown


@pytest.mark.parametrize(
    "settings",
    [
        {"log_transaction_sample_rate": "1"},
        {"log_min_duration_sample": "0", "log_statement_sample_rate": "1"},
        {"debug_print_parse": "on"},
    ],
    ids=["sampled transactions", "sampled statements", "parse trees"],
)
async def test_the_log_has_no_password_if_statements_are_sampled(
    fresh: Path, settings: dict[str, str]
) -> None:
    with EmbeddedServer.start(fresh, settings={**FAST, **settings}) as server:
        await ask(server.url, "SELECT 'canary'")
        log = (fresh / "server.log").read_text()
        assert "canary" in log or "PARSETREE" in log.upper().replace(" ", ""), "it is sampled"
        for url in (server.url, server.admin_url):
            password = urlsplit(url.get_secret_value()).password
            assert password
            assert password not in log


def test_credentials_that_are_missing_are_not_made_up(folder: Path) -> None:
    with start(folder):
        pass
    (folder / "credentials.json").unlink()
    with pytest.raises(EmbeddedServerError, match=r"credentials\.json is missing"):
        start(folder)
