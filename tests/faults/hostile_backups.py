"""Rewrite backups as an attacker would: every checksum is right, and the contents are not."""

from __future__ import annotations

import json
import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from repositories.backup import Manifest
from repositories.backup.manifest import FORMAT, LINE_BYTES, TableManifest
from repositories.backup.writer import GZIP

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SIZE = 256 * 1024


def unchanged(body: bytes) -> bytes:
    return body


def rewrite(path: Path, change: Callable[[bytes], bytes] = unchanged, /, **manifest: Any) -> None:
    """Change the unpacked body and fields of the manifest, and correct the checksums."""
    old, offset = Manifest.from_bytes(path.read_bytes())
    body = change(zlib.decompress(path.read_bytes()[offset:], wbits=GZIP))
    _write(path, old, zlib.compress(body, wbits=GZIP), manifest)


def tables_of(path: Path) -> tuple[TableManifest, ...]:
    return Manifest.from_bytes(path.read_bytes())[0].tables


def change_rows(
    path: Path, name: str, change: Callable[[bytes], bytes], *, rows: int | None = None
) -> None:
    """Change the COPY data of one table, which may become longer or shorter."""
    tables = {table.name: table for table in tables_of(path)}
    old, lengths = tables[name], [table.bytes for table in tables.values()]
    start = sum(lengths[: list(tables).index(name)])
    changed = b""

    def change_body(body: bytes) -> bytes:
        nonlocal changed
        changed = change(body[start : start + old.bytes])
        return body[:start] + changed + body[start + old.bytes :]

    rewrite(path, change_body)
    update = {"bytes": len(changed), "rows": old.rows if rows is None else rows}
    rewrite(path, tables=tuple((tables | {name: old.model_copy(update=update)}).values()))


def add_field(path: Path, name: str) -> None:
    """Add a field to the JSON of the manifest, and correct its checksum."""
    whole = path.read_bytes()
    _, offset = Manifest.from_bytes(whole)
    written = json.loads(whole[LINE_BYTES:offset])
    changed = json.dumps({**written, name: 1}).encode()
    line = b"recollect-backup %04d %b %08d\n" % (
        FORMAT,
        sha256(changed).hexdigest().encode(),
        len(changed),
    )
    path.write_bytes(line + changed + whole[offset:])


def write_bomb(path: Path, size: int, **manifest: Any) -> None:
    """Replace the body by `size` zeros, which compress to a thousandth."""
    old, _ = Manifest.from_bytes(path.read_bytes())
    packing, packed = zlib.compressobj(9, wbits=GZIP), bytearray()
    for _ in range(size // SIZE):
        packed += packing.compress(bytes(SIZE))
    packed += packing.flush()
    first, *others = old.tables
    tables = (
        first.model_copy(update={"bytes": size // SIZE * SIZE}),
        *(table.model_copy(update={"bytes": 0}) for table in others),
    )
    _write(path, old, bytes(packed), {"tables": tables, **manifest})


def _write(path: Path, old: Manifest, packed: bytes, manifest: dict[str, Any]) -> None:
    sums = {"body_bytes": len(packed), "body_sha256": sha256(packed).hexdigest()}
    changed = old.model_copy(update={**sums, **manifest})
    path.write_bytes(changed.to_bytes() + packed)
