"""The file of a backup: every alteration is noticed, and no file is ever half written."""

from __future__ import annotations

import gzip
import json
import os
import stat
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from time import thread_time
from typing import TYPE_CHECKING, Any

import pytest

from domain.errors import BackupDamaged, BackupError, InvalidBackup
from repositories.backup import BackupReader, Manifest
from repositories.backup.manifest import FORMAT, LINE_BYTES, MAX_MANIFEST_BYTES, TableManifest
from repositories.backup.reader import PIECE_BYTES
from repositories.backup.writer import BackupWriter
from tests.processor_time import at_usual_speed

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = (b"first rows", b"second rows" * 3)


def draft() -> Manifest:
    return Manifest(
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        revision="0001",
        dimensions=8,
        provider="p",
        model="m",
        metric="cosine",
        language="english",
        hnsw_m=16,
        hnsw_ef_construction=64,
        postgresql="18.4",
        pgvector="0.8.5",
        tenant=None,
        tables=(
            TableManifest(name="a", columns=("x", "y")),
            TableManifest(name="b", columns=("z",)),
        ),
    )


def write(path: Path, *bodies: bytes) -> Manifest:
    with BackupWriter(path, draft()) as writer:
        for body in bodies:
            writer.write(body)
        tables = [
            table.model_copy(update={"rows": 1, "bytes": len(body)})
            for table, body in zip(draft().tables, bodies, strict=True)
        ]
        return writer.finish(draft().model_copy(update={"tables": tuple(tables)}))


async def read(path: Path) -> list[bytes]:
    with BackupReader(path) as backup:
        await backup.verify()
        return [
            b"".join([piece async for piece in backup.pieces(table.bytes)])
            for table in backup.manifest.tables
        ]


async def test_what_was_written_is_read_table_by_table(tmp_path: Path) -> None:
    written = write(tmp_path / "backup", *BODY)
    assert await read(tmp_path / "backup") == list(BODY)
    with BackupReader(tmp_path / "backup") as backup:
        assert backup.manifest == written


async def test_a_body_is_unpacked_in_pieces_that_stay_small(tmp_path: Path) -> None:
    write(tmp_path / "backup", b"\0" * 5_000_000, b"end")
    with BackupReader(tmp_path / "backup") as backup:
        sizes = [len(piece) async for piece in backup.pieces(5_000_000)]
        assert (sum(sizes), max(sizes) <= PIECE_BYTES) == (5_000_000, True)
        assert [piece async for piece in backup.pieces(3)] == [b"end"]


async def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    write(path, *BODY)
    whole = path.read_bytes()
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1 << place % 8
        path.write_bytes(altered)
        with pytest.raises((BackupDamaged, InvalidBackup)):
            await read(path)


async def test_every_truncation_and_every_addition_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    write(path, *BODY)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(BackupDamaged):
            await read(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(BackupDamaged, match="longer"):
        await read(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        *((lambda body, cut=cut: body[:-cut], "does not end") for cut in range(1, 9)),
        (lambda body: body[:-8] + bytes(byte ^ 1 for byte in body[-8:]), "cannot be unpacked"),
        (lambda body: body + gzip.compress(b""), "does not end"),
        (lambda body: body + b"\0" * PIECE_BYTES, "does not end"),
    ],
    ids=[*(f"without {cut} bytes" for cut in range(1, 9)), "altered", "second", "longer"],
)
async def test_a_body_needs_its_gzip_trailer_even_if_the_manifest_agrees(
    tmp_path: Path, change: Callable[[bytes], bytes], reason: str
) -> None:
    path = tmp_path / "backup"
    written = write(path, *BODY)
    body = change(path.read_bytes()[-written.body_bytes :])
    manifest = written.model_copy(
        update={"body_bytes": len(body), "body_sha256": sha256(body).hexdigest()}
    )
    path.write_bytes(manifest.to_bytes() + body)
    with pytest.raises(BackupDamaged, match=f"its gzip stream {reason}"):
        await read(path)


async def test_a_body_with_fewer_bytes_than_the_manifest_says_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "backup", *BODY)
    with BackupReader(tmp_path / "backup") as backup:
        assert b"".join([piece async for piece in backup.pieces(1_000)]) == b"".join(BODY)
        assert isinstance(backup.failure, BackupDamaged)
        assert "fewer rows" in str(backup.failure)


def test_other_files_and_other_formats_raise_different_errors(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    write(path, *BODY)
    newer = path.read_bytes().replace(b"recollect-backup 0001", b"recollect-backup 0002", 1)
    for content, error, words in (
        (b"PGDMP", BackupDamaged, "Recollect did not write it"),
        (b"", BackupDamaged, "Recollect did not write it"),
        (b"recollect-backup", BackupDamaged, "first line"),
        (newer, InvalidBackup, "has format 2, and this version reads format 1"),
    ):
        path.write_bytes(content)
        with pytest.raises(error, match=words):
            BackupReader(path)


@pytest.mark.parametrize(
    "hostile",
    [
        {"tables": [1] * (MAX_MANIFEST_BYTES // 3)},
        {"tables": [{"name": "a", "columns": [1] * (MAX_MANIFEST_BYTES // 3)}]},
        {f"{number:x}": 1 for number in range(MAX_MANIFEST_BYTES // 12)},
    ],
    ids=["tables", "columns", "fields"],
)
def test_a_hostile_manifest_is_refused_quickly(hostile: dict[str, Any]) -> None:
    written = json.dumps(
        {**draft().model_dump(mode="json"), **hostile}, separators=(",", ":")
    ).encode()
    checksum = sha256(written).hexdigest().encode()
    head = b"recollect-backup %04d %b %08d\n" % (FORMAT, checksum, len(written))
    began = thread_time()
    with pytest.raises(BackupDamaged, match="manifest of the backup is not valid"):
        Manifest.from_bytes(head + written)
    assert at_usual_speed(thread_time() - began) < 0.1


def test_a_manifest_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    tables = draft().tables * (MAX_MANIFEST_BYTES // 50)
    with pytest.raises(BackupError, match="the names of all tables and columns take more than"):
        BackupWriter(tmp_path / "backup", draft().model_copy(update={"tables": tables}))


def test_the_manifest_can_be_read_by_a_person(tmp_path: Path) -> None:
    write(tmp_path / "backup", *BODY)
    assert b'"revision":"0001"' in (tmp_path / "backup").read_bytes()[LINE_BYTES:]


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    write(tmp_path / "backup", *BODY)
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600


def test_an_interrupted_backup_leaves_nothing_and_the_one_before_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "backup"
    path.write_bytes(b"the one before")
    with suppress(KeyboardInterrupt), BackupWriter(path, draft()) as writer:
        writer.write(BODY[0])
        assert len(list(tmp_path.iterdir())) == 2
        raise KeyboardInterrupt
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"the one before"]


def test_a_path_that_cannot_be_written_or_read_is_reported_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        BackupError, match=r"nowhere/backup cannot be written: No such file or directory"
    ):
        write(tmp_path / "nowhere" / "backup", *BODY)
    with pytest.raises(BackupError, match="it is a folder"):
        write(tmp_path, *BODY)
    with pytest.raises(BackupError, match=r"nothing cannot be read: No such file or directory"):
        BackupReader(tmp_path / "nothing")
    with pytest.raises(BackupError, match="cannot be read: Is a directory"):
        BackupReader(tmp_path)


def test_a_relative_path_needs_a_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(BackupError, match="backup cannot be written: No such file or directory"):
        write(Path("backup"), *BODY)


def test_a_name_has_as_many_bytes_as_the_file_system_allows(tmp_path: Path) -> None:
    for name in ("x" * 255, "\N{GRINNING FACE}" * 63):
        write(tmp_path / name, *BODY)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()
    with pytest.raises(BackupError, match="cannot be written: File name too long"):
        write(tmp_path / ("x" * 256), *BODY)
    with pytest.raises(BackupError, match="cannot be read: File name too long"):
        BackupReader(tmp_path / ("x" * 256))


def test_a_pipe_is_neither_replaced_nor_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BackupError, match="it is not a file; write a new one"):
        write(pipe, *BODY)
    with pytest.raises(BackupError, match="is not a file: copy the backup to one"):
        BackupReader(pipe)
    assert pipe.is_fifo()


def test_a_link_stays_and_the_file_that_it_leads_to_is_written(tmp_path: Path) -> None:
    folder, link, chain = tmp_path / "disk", tmp_path / "latest.backup", tmp_path / "chain"
    folder.mkdir()
    link.symlink_to("disk/monday.backup")
    chain.symlink_to(link)
    for path in (link, chain):  # the target does not exist, and then it does
        write(path, *BODY)
        assert (link.readlink(), chain.readlink()) == (Path("disk/monday.backup"), link)
        assert [file.name for file in folder.iterdir()] == ["monday.backup"]
        with BackupReader(folder / "monday.backup") as backup:
            assert backup.manifest.rows == 2


def test_a_link_that_leads_to_no_file_is_refused_and_stays(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    device, pipe, loop = (tmp_path / name for name in ("device", "pipe", "loop"))
    device.symlink_to("/dev/null")
    pipe.symlink_to(f"/proc/self/fd/{write_end}")
    loop.symlink_to("loop")
    for link, reason in ((device, "not a file"), (pipe, "not a file"), (loop, "leads to itself")):
        target = link.readlink()
        with pytest.raises(BackupError, match=f"{link} cannot be written: it is .*{reason}"):
            write(link, *BODY)
        assert link.readlink() == target
    os.close(read_end)
    os.close(write_end)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["device", "loop", "pipe"]
