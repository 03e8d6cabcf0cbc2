"""Advisory locks on files.

One lock serializes starts and stops, one counts the programs that use the server, and one shows
whether a process of the server is alive.

The locks are those of `flock` and not of a library, because two properties matter: they can be
shared, and they belong to the open file, not to a process. A server that inherits the open file
holds the lock until its last process ends, whatever happens to its PID file. A dead process, even a
zombie, holds no lock.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from domain.errors import EmbeddedServerError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from repositories.embedded.waiting import Deadline


class FileLock:
    """One open file, and the lock on it while `acquire` has succeeded.

    `close` releases the lock.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, and create it where it is missing.

        Raises:
            OSError: the file cannot be opened, or is a symbolic link.
        """
        self._owner = os.getpid()
        self._descriptor: int | None = os.open(
            path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )

    def acquire(self, *, shared: bool = False) -> bool:
        """Take the lock if it is free, and return whether it was."""
        try:
            fcntl.flock(
                self.descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB
            )
        except BlockingIOError:
            return False
        return True

    @property
    def descriptor(self) -> int:
        """The open file's number, for a child that is to hold the lock as well."""
        if self._descriptor is None:
            raise ValueError("the lock file is closed")
        return self._descriptor

    def release(self) -> None:
        """Release the lock for every process that shares this open file, and close it."""
        # A forked child shares the open file: it may close its copy, but only its parent may
        # release the lock.
        if self._descriptor is not None and self._owner == os.getpid():
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        self.close()

    def close(self) -> None:
        """Close this process's copy: a child that inherited the file keeps the lock."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None


def is_free(path: Path) -> bool:
    """Return whether no process holds the lock at this moment.

    The answer is reliable only under another lock that serializes the callers.
    """
    lock = FileLock(path)
    try:
        return lock.acquire()
    finally:
        lock.close()


@contextmanager
def exclusive(path: Path, deadline: Deadline) -> Iterator[None]:
    """Hold the lock while inside.

    Raises:
        EmbeddedServerError: another program held it until the deadline.
    """
    lock = FileLock(path)
    try:
        while not lock.acquire():
            if deadline.passed:
                raise EmbeddedServerError(
                    f"another program held {path} for more than {deadline.seconds:g} s"
                )
            deadline.pause()
        yield
    finally:
        lock.release()
