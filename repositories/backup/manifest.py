"""The manifest of a backup: the first bytes of the file."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Final, Literal, Self

from annotated_types import Ge, Interval, Le
from pydantic import BaseModel, ConfigDict, FailFast, StringConstraints, ValidationError

from domain.errors import BackupDamaged, InvalidBackup
from domain.values.embedding import MAX_DIMENSIONS
from domain.values.text import Label, Tenant

FORMAT: Final = 1
# With FailFast, it bounds how long a hostile manifest holds the event loop. It suffices for three
# hundred tables.
MAX_MANIFEST_BYTES: Final = 100_000

_MAGIC: Final = b"recollect-backup"
_LINE: Final = re.compile(rb"recollect-backup ([0-9]{4}) ([0-9a-f]{64}) ([0-9]{8})\n")
LINE_BYTES: Final = len(_MAGIC) + 1 + 4 + 1 + 64 + 1 + 8 + 1

_LARGEST: Final = 2**63 - 1

Size = Annotated[int, Ge(0), Le(_LARGEST)]
Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
# Names that are printed have no control characters: a terminal would execute their sequences.
Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_]{1,32}$")]
Version = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,200}$")]
Checksum = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class TableManifest(_Part):
    """The rows of one table: their number, and their bytes in the body before compression."""

    name: Identifier
    columns: Annotated[tuple[Identifier, ...], FailFast()]
    rows: Size = _LARGEST
    bytes: Size = _LARGEST


class Manifest(_Part):
    """Describes the database and the contents of the file.

    `tenant` is None if the backup holds all tenants. `tables` have the order of the body: a table
    follows the tables that it refers to. `body_bytes` and `body_sha256` are those of the compressed
    body.
    """

    format: Literal[1] = FORMAT
    created_at: datetime
    revision: Revision
    dimensions: Annotated[int, Interval(ge=1, le=MAX_DIMENSIONS)]
    provider: Label
    model: Label
    metric: Identifier
    language: Identifier
    hnsw_m: Annotated[int, Interval(ge=2, le=100)]
    hnsw_ef_construction: Annotated[int, Interval(ge=4, le=1000)]
    postgresql: Version
    pgvector: Version
    tenant: Tenant | None
    tables: Annotated[tuple[TableManifest, ...], FailFast()]
    body_bytes: Size = _LARGEST
    body_sha256: Checksum = "0" * 64

    @property
    def rows(self) -> int:
        """The number of rows in the backup."""
        return sum(table.rows for table in self.tables)

    @property
    def unpacked_bytes(self) -> int:
        """The size of the body before compression."""
        return sum(table.bytes for table in self.tables)

    def to_bytes(self, *, padded_to: int = 0) -> bytes:
        """Return the first line and the manifest, padded with spaces to `padded_to` bytes."""
        written = self.model_dump_json().encode()
        written = written.ljust(padded_to - LINE_BYTES - 1) + b"\n"
        return (
            b"%b %04d %b %08d\n"
            % (_MAGIC, FORMAT, sha256(written).hexdigest().encode(), len(written))
            + written
        )

    @classmethod
    def from_bytes(cls, head: bytes) -> tuple[Self, int]:
        """Return the manifest at the beginning of a file, and the offset of the body.

        Raises:
            BackupDamaged: the file is not a backup, or it was altered.
            InvalidBackup: another version of the library wrote its format.
        """
        line = _LINE.match(head)
        if line is None:
            reason = (
                "its first line was altered"
                if head.startswith(_MAGIC)
                else "Recollect did not write it"
            )
            raise BackupDamaged(f"this file is not a backup: {reason}")
        version, checksum, length = int(line[1]), line[2].decode(), int(line[3])
        if version != FORMAT:
            raise InvalidBackup(
                f"the backup has format {version}, and this version reads format {FORMAT}: use the"
                " version of the library that wrote it"
            )
        written = head[LINE_BYTES : LINE_BYTES + length]
        if (
            length > MAX_MANIFEST_BYTES
            or len(written) != length
            or sha256(written).hexdigest() != checksum
        ):
            raise BackupDamaged("the backup is damaged: its manifest was altered or truncated")
        refused: set[object] = set()
        try:
            return cls.model_validate_json(written), LINE_BYTES + length
        except ValidationError as error:
            # Only names of fields, because the file may have any other.
            details = error.errors(include_url=False, include_context=False, include_input=False)
            refused = {detail["loc"][0] for detail in details if detail["loc"]}
        names = ", ".join(name for name in cls.model_fields if name in refused) or "its fields"
        raise BackupDamaged(f"the manifest of the backup is not valid: {names}")
