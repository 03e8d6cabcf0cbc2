"""Write a backup under a temporary name, and rename it when all of it is on disk."""

from __future__ import annotations

import os
import tempfile
import zlib
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from domain.errors import BackupError
from repositories.backup.file_errors import file_errors
from repositories.backup.manifest import LINE_BYTES, MAX_MANIFEST_BYTES

if TYPE_CHECKING:
    from types import TracebackType

    from repositories.backup.manifest import Manifest

# Embeddings hardly compress at any level. A higher level makes text a little smaller, in three
# times the time.
LEVEL: Final = 3
GZIP: Final = 31
"""zlib's window size for the gzip format, which other programs can read."""


class BackupWriter:
    """A backup that is being written; use it in a `with`, which removes the file on failure.

    The file gets its name when it is finished, and only its owner can read it. A symbolic link
    stays, and the file that it leads to is written. The manifest takes as much space as the draft.
    Every method raises BackupError if the file system refuses.
    """

    def __init__(self, path: Path, draft: Manifest) -> None:
        self._path = path
        self._head_bytes = len(draft.to_bytes())
        if self._head_bytes > LINE_BYTES + MAX_MANIFEST_BYTES:
            raise BackupError(
                f"{path} cannot be written: the names of all tables and columns take more than"
                f" {MAX_MANIFEST_BYTES:,} bytes"
            )
        self._packing = zlib.compressobj(LEVEL, wbits=GZIP)
        self._checksum = sha256()
        self._body_bytes = 0
        with file_errors(self._path, "written"):
            # Without links: a renamed file replaces a link, such as /dev/stdout, not its target.
            self._target = Path(os.path.realpath(path))
            # A file system limits the bytes of a name.
            start = self._target.name.encode(errors="ignore")[:100].decode(errors="ignore")
            if path.is_dir():
                raise BackupError(f"{path} cannot be written: it is a folder")
            if self._target.is_symlink():
                raise BackupError(f"{path} cannot be written: it is a link that leads to itself")
            # The finished file is renamed: it would replace a device or a pipe.
            if path.exists() and not self._target.is_file():
                raise BackupError(f"{path} cannot be written: it is not a file; write a new one")
            # Readable and writable for the owner alone, from the start.
            descriptor, name = tempfile.mkstemp(
                prefix=f".{start}.", suffix=".partial", dir=self._target.parent
            )
            self._partial = Path(name)
            self._file = os.fdopen(descriptor, "wb")
            self._file.seek(self._head_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            self._partial.unlink(missing_ok=True)

    def write(self, piece: bytes) -> None:
        """Add a piece to the body."""
        self._append(self._packing.compress(piece))

    def finish(self, manifest: Manifest) -> Manifest:
        """Complete the manifest with the body's checksum, write it, and rename the file.

        Returns:
            The complete manifest.
        """
        self._append(self._packing.flush())
        finished = manifest.model_copy(
            update={"body_bytes": self._body_bytes, "body_sha256": self._checksum.hexdigest()}
        )
        with file_errors(self._path, "written"):
            self._file.seek(0)
            self._file.write(finished.to_bytes(padded_to=self._head_bytes))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._partial.replace(self._target)
            _sync_folder(self._target.parent)
        return finished

    def _append(self, packed: bytes) -> None:
        self._checksum.update(packed)
        self._body_bytes += len(packed)
        with file_errors(self._path, "written"):
            self._file.write(packed)


def _sync_folder(folder: Path) -> None:
    # Otherwise, the name may be lost in a power failure. Not every system can sync a folder.
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
