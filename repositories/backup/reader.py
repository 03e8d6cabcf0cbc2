"""Read a backup: first to verify the whole file, then its rows."""

from __future__ import annotations

import asyncio
import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from domain.errors import BackupDamaged, BackupError, InvalidBackup
from repositories.backup.file_errors import file_errors
from repositories.backup.manifest import LINE_BYTES, MAX_MANIFEST_BYTES, Manifest
from repositories.backup.writer import GZIP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

PIECE_BYTES: Final = 256 * 1024

MAX_RATIO: Final = 200
"""How many times its size a body may unpack to, unless the caller sets another limit.

Rows have random ids and timestamps: even repeated text compresses less. Gzip reaches 1,030.
"""

_ALWAYS_ALLOWED_BYTES: Final = 64 * 2**20


class BackupReader:
    """An open backup with a verified `manifest`. Use it in a `with`.

    `verify` checks the body. `verify` and `pieces` work in threads, on one bounded piece at a time,
    so that a large or hostile file neither blocks the event loop nor delays a cancellation.

    Raises:
        BackupError: the file does not exist or cannot be read.
        BackupDamaged, InvalidBackup: see `Manifest.from_bytes`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with file_errors(self._path, "read"):
            # Opening a named pipe waits for a writer, and no cancellation ends that.
            if path.exists() and not path.is_file() and not path.is_dir():
                raise BackupError(f"{path} is not a file: copy the backup to one, and restore that")
            self._file: BinaryIO = path.open("rb")
        try:
            with file_errors(self._path, "read"):
                head = self._file.read(LINE_BYTES + MAX_MANIFEST_BYTES)
            self.manifest, self._offset = Manifest.from_bytes(head)
            self._rewind()
        except BaseException:
            self._file.close()
            raise
        self.failure: BackupError | None = None
        """The error that ended `pieces` early."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    async def verify(self, *, max_unpacked: int | None = None) -> None:
        """Read and unpack the whole body once, then return to its beginning.

        Args:
            max_unpacked: the limit for the unpacked body in bytes; by default 200 times the size of
                the body, and at least 64 MiB.

        Raises:
            InvalidBackup: the body unpacks to more than the limit.
            BackupDamaged: the body was truncated, extended or altered.
        """
        limit = max(_ALWAYS_ALLOWED_BYTES, MAX_RATIO * self.manifest.body_bytes)
        limit = limit if max_unpacked is None else max_unpacked
        if self.manifest.unpacked_bytes > limit:
            raise _too_large(limit)
        await self._verify_checksum()
        unpacked = 0
        while piece := await asyncio.to_thread(self._unpack, PIECE_BYTES):
            unpacked += len(piece)
            if unpacked > self.manifest.unpacked_bytes:
                raise BackupDamaged(
                    "the backup is damaged: it has more rows than its manifest says"
                )
        if unpacked < self.manifest.unpacked_bytes:
            raise _too_few_rows()
        if not await asyncio.to_thread(self._ends_with_its_stream):
            raise BackupDamaged(
                "the backup is damaged: its gzip stream does not end where the file ends"
            )
        await asyncio.to_thread(self._rewind)

    async def _verify_checksum(self) -> None:
        checksum, size = sha256(), 0
        while piece := await asyncio.to_thread(self._read):
            await asyncio.to_thread(checksum.update, piece)
            size += len(piece)
            if size > self.manifest.body_bytes:
                raise BackupDamaged("the backup is damaged: it is longer than it was written")
        if size < self.manifest.body_bytes:
            raise BackupDamaged("the backup is damaged: it is shorter than it was written")
        if checksum.hexdigest() != self.manifest.body_sha256:
            raise BackupDamaged("the backup is damaged: its contents were altered")
        await asyncio.to_thread(self._rewind)

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        """Yield the next `size` bytes of the unpacked body in pieces of at most 256 KiB.

        It raises nothing, because the driver cannot end a COPY after an exception in its source if
        the server has refused the COPY before: `failure` has the error, and the pieces end.
        """
        while size > 0:
            try:
                piece = await asyncio.to_thread(self._unpack, min(size, PIECE_BYTES))
            except BackupError as error:
                self.failure = error
                return
            if not piece:
                self.failure = _too_few_rows()
                return
            size -= len(piece)
            yield piece

    def _rewind(self) -> None:
        with file_errors(self._path, "read"):
            self._file.seek(self._offset)
        self._packed = b""
        self._unpacking = zlib.decompressobj(wbits=GZIP)

    def _read(self) -> bytes:
        with file_errors(self._path, "read"):
            return self._file.read(PIECE_BYTES)

    def _ends_with_its_stream(self) -> bool:
        """Return whether the stream was read to its trailer, and no bytes follow it."""
        return self._unpacking.eof and not self._unpacking.unused_data and not self._read()

    def _unpack(self, limit: int) -> bytes:
        """Return at most `limit` bytes, or nothing at the end.

        Raises:
            BackupDamaged: the body is not gzip, or differs from the checksum in its trailer.
        """
        piece = b""
        while not piece and not self._unpacking.eof:
            self._packed = self._packed or self._read()
            try:
                piece = self._unpacking.decompress(self._packed, limit)
            except zlib.error:
                raise BackupDamaged(
                    "the backup is damaged: its gzip stream cannot be unpacked"
                ) from None
            if not self._packed and not piece:
                return b""
            self._packed = self._unpacking.unconsumed_tail
        return piece


def _too_few_rows() -> BackupDamaged:
    return BackupDamaged("the backup is damaged: it has fewer rows than its manifest says")


def _too_large(limit: int) -> InvalidBackup:
    return InvalidBackup(
        f"the backup unpacks to more than {limit:,} bytes and may be hostile: if you trust it, pass"
        " a higher max_unpacked"
    )
