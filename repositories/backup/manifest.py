"""What a backup says of itself, in the first bytes of the file."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final, Literal, Self

from annotated_types import Ge
from pydantic import BaseModel, ConfigDict, ValidationError

from domain.errors import BackupDamaged, InvalidBackup
from domain.values.text import Tenant

FORMAT: Final = 1
MAX_MANIFEST_BYTES: Final = 1_000_000

_MAGIC: Final = b"recollect-backup"
_LINE: Final = re.compile(rb"recollect-backup ([0-9]{4}) ([0-9a-f]{64}) ([0-9]{8})\n")
LINE_BYTES: Final = len(_MAGIC) + 1 + 4 + 1 + 64 + 1 + 8 + 1

_LARGEST: Final = 2**63 - 1

Size = Annotated[int, Ge(0)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class TableManifest(_Part):
    """The rows of one table.

    How many, and how long they are in the body before it is compressed.
    """

    name: str
    columns: tuple[str, ...]
    rows: Size = _LARGEST
    bytes: Size = _LARGEST


class Manifest(_Part):
    """What the database was, and what is in the file.

    `tenant` is None where the backup holds all of them. `tables` stand in the order of the body,
    what is referenced before what refers to it. `body_bytes` and `body_sha256` are the compressed
    body's.
    """

    format: Literal[1] = FORMAT
    created_at: datetime
    revision: str
    dimensions: int
    provider: str
    model: str
    metric: str
    language: str
    hnsw_m: int
    hnsw_ef_construction: int
    postgresql: str
    pgvector: str
    tenant: Tenant | None
    tables: tuple[TableManifest, ...]
    body_bytes: Size = _LARGEST
    body_sha256: str = "0" * 64

    @property
    def rows(self) -> int:
        """How many rows the backup holds."""
        return sum(table.rows for table in self.tables)

    def to_bytes(self, *, padded_to: int = 0) -> bytes:
        """Return the first part of a file.

        The line and the manifest, with as many spaces as make it that long.
        """
        written = self.model_dump_json().encode()
        written = written.ljust(padded_to - LINE_BYTES - 1) + b"\n"
        return (
            b"%b %04d %b %08d\n"
            % (_MAGIC, FORMAT, sha256(written).hexdigest().encode(), len(written))
            + written
        )

    @classmethod
    def from_bytes(cls, head: bytes) -> tuple[Self, int]:
        """Return the manifest at the beginning of a file, and where the body begins.

        Raises:
            BackupDamaged: this is no backup, or not as it was written.
            InvalidBackup: it is of a format that another version writes.
        """
        line = _LINE.match(head)
        if line is None:
            what = (
                "its first line is not as it was written"
                if head.startswith(_MAGIC)
                else "it is not one of Recollect's"
            )
            raise BackupDamaged(f"this is no backup that can be read: {what}")
        version, checksum, length = int(line[1]), line[2].decode(), int(line[3])
        if version != FORMAT:
            raise InvalidBackup(
                f"the backup is of format {version}, and this version reads format {FORMAT}"
            )
        written = head[LINE_BYTES : LINE_BYTES + length]
        if (
            length > MAX_MANIFEST_BYTES
            or len(written) != length
            or sha256(written).hexdigest() != checksum
        ):
            raise BackupDamaged("the backup is damaged: its manifest is not as it was written")
        try:
            manifest = cls.model_validate_json(written)
        except ValidationError:
            manifest = None
        if manifest is None:
            raise BackupDamaged("the backup is damaged: its manifest cannot be read")
        return manifest, LINE_BYTES + length
