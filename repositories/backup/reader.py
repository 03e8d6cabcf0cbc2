"""Reading a backup, first to find out whether it is as it was written."""

from __future__ import annotations

import zlib
from hashlib import sha256
from typing import TYPE_CHECKING, BinaryIO, Final, Self

from domain.errors import BackupDamaged
from repositories.backup.file_errors import telling
from repositories.backup.manifest import LINE_BYTES, MAX_MANIFEST_BYTES, Manifest
from repositories.backup.writer import GZIP

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from types import TracebackType

PIECE_BYTES: Final = 256 * 1024


class BackupReader:
    """A backup that is open in a `with`; its `manifest` has been checked, the body not yet.

    Raises:
        BackupError: there is no such file, or it cannot be read.
        BackupDamaged, InvalidBackup: as `Manifest.from_bytes`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with telling(self._path, "read"):
            self._file: BinaryIO = path.open("rb")
        try:
            with telling(self._path, "read"):
                head = self._file.read(LINE_BYTES + MAX_MANIFEST_BYTES)
            self.manifest, self._begin = Manifest.from_bytes(head)
            with telling(self._path, "read"):
                self._file.seek(self._begin)
        except BaseException:
            self._file.close()
            raise
        self._packed = b""
        self._unpacking = zlib.decompressobj(wbits=GZIP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def verify(self) -> None:
        """Read the body once, and stand at its beginning again.

        Raises:
            BackupDamaged: it is shorter, longer or other than what was written.
        """
        checksum, size = sha256(), 0
        with telling(self._path, "read"):
            self._file.seek(self._begin)
            while piece := self._file.read(PIECE_BYTES):
                checksum.update(piece)
                size += len(piece)
            self._file.seek(self._begin)
        if size != self.manifest.body_bytes:
            how = "shorter" if size < self.manifest.body_bytes else "longer"
            raise BackupDamaged(f"the backup is damaged: it is {how} than it was written")
        if checksum.hexdigest() != self.manifest.body_sha256:
            raise BackupDamaged("the backup is damaged: its contents are not as they were written")

    async def pieces(self, size: int) -> AsyncIterator[bytes]:
        """Yield the next `size` bytes of the body, unpacked, a piece at a time.

        Raises:
            BackupDamaged: the body ends before, or cannot be unpacked.
        """
        while size > 0:
            piece = self._unpack(min(size, PIECE_BYTES))
            if not piece:
                raise BackupDamaged("the backup is damaged: it has fewer rows than it says")
            size -= len(piece)
            yield piece

    def _unpack(self, limit: int) -> bytes:
        piece = b""
        while not piece and not self._unpacking.eof:
            if not self._packed:
                with telling(self._path, "read"):
                    self._packed = self._file.read(PIECE_BYTES)
            try:
                piece = self._unpacking.decompress(self._packed, limit)
            except zlib.error:
                return b""
            if not self._packed and not piece:
                return b""
            self._packed = self._unpacking.unconsumed_tail
        return piece
