"""What the file system refuses, as an error of backups."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from domain.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def telling(path: Path, done: str) -> Iterator[None]:
    """Raise BackupError where the file system refuses.

    `done` is what `path` cannot be, such as read.
    """
    failed: str | None = None
    try:
        yield
    except OSError as error:
        failed = error.strerror or type(error).__name__
    # Outside of the handler, so that the error stands alone.
    if failed is not None:
        raise BackupError(f"{path} cannot be {done}: {failed}")
