"""Starting an embedded server: versions, settings, and what is refused."""

from __future__ import annotations

import contextlib
import subprocess
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from domain.errors import ConfigurationError, EmbeddedServerError, InvalidInput
from repositories.embedded import EmbeddedServer, cluster
from repositories.embedded.locks import exclusive
from repositories.embedded.waiting import Deadline
from tests.integration.embedded.support import (
    FAST,
    as_root,
    ask,
    is_alive,
    mode_of,
    on_linux,
    start,
)

if TYPE_CHECKING:
    pass


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


@on_linux
def test_the_server_keeps_the_memory_that_planning_frees(fresh: Path) -> None:
    with start(fresh) as server:
        pid = (server.data_dir / "postgresql" / "postmaster.pid").read_text().split()[0]
        environment = psutil.Process(int(pid)).environ()
    limits = {environment[f"MALLOC_{name}_THRESHOLD_"] for name in ("MMAP", "TRIM")}
    assert limits == {"8388608"}


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


def test_a_folder_with_other_files_is_refused_and_left_alone(fresh: Path) -> None:
    fresh.mkdir(mode=0o755)
    (fresh / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedServerError, match="contains other files"):
        start(fresh)
    assert [path.name for path in fresh.iterdir()] == ["thesis.txt"]
    assert mode_of(fresh) == 0o755


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
