"""Errors of the file system, as errors of backups."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from domain.errors import BackupError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def file_errors(path: Path, verb: str) -> Iterator[None]:
    """Raise BackupError if the file system refuses an operation.

    Args:
        path: the file.
        verb: a participle for the message, such as "read" or "written".
    """
    reason: str | None = None
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
    # Outside of the handler, so that the error is not chained.
    if reason is not None:
        raise BackupError(f"{path} cannot be {verb}: {reason}")
