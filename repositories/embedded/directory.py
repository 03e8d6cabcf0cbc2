"""The folder a user names: a cluster, what belongs to it, and the locks.

Only its owner can enter it.

::

    data_dir/                 0700, the caller's
        postgresql/           0700, the server's user's: the cluster
        credentials.json      0600
        server.log            0600; the previous one is server.log.1
        kept                  present while the server is to outlive its programs
        start.lock            held while a program starts, stops or attaches
        users.lock            shared by every program that uses the server
        processes.lock        held by the server's own processes, to the last
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.errors import EmbeddedServerError
from repositories.embedded.locks import FileLock, exclusive, is_free

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from repositories.embedded.waiting import Deadline

_LOG_LIMIT_BYTES: Final = 4 * 2**20
_START_LOCK: Final = "start.lock"


@dataclass(frozen=True)
class DataDirectory:
    """One such folder; `path` is absolute and has no symbolic links."""

    path: Path

    @classmethod
    def prepare(cls, path: Path | str) -> DataDirectory:
        """Create the folder or take an existing one, and close it to others.

        Raises:
            EmbeddedServerError: it is not a path, belongs to another user, or holds something else.
        """
        resolved = _resolved(path)
        resolved.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = cls(resolved)
        directory._refuse_foreign()
        resolved.chmod(0o700)
        return directory

    @classmethod
    def find(cls, path: Path | str) -> DataDirectory | None:
        """Return the folder if it exists and holds a cluster, or None.

        Raises:
            EmbeddedServerError: it is not a path, or belongs to another user.
        """
        directory = cls(_resolved(path))
        if not directory.path.is_dir():
            return None
        directory._refuse_other_owner()
        return directory if directory.cluster_version is not None else None

    @property
    def cluster(self) -> Path:
        """PostgreSQL's own data directory."""
        return self.path / "postgresql"

    @property
    def unfinished_cluster(self) -> Path:
        """The folder in which a cluster is created; it is renamed when it is complete."""
        return self.path / "postgresql.unfinished"

    @property
    def credentials(self) -> Path:
        """The file with the passwords."""
        return self.path / "credentials.json"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.path / "server.log"

    @property
    def kept_mark(self) -> Path:
        """Its presence keeps the server running when the last program leaves."""
        return self.path / "kept"

    @property
    def processes_lock(self) -> Path:
        """The lock that the server's processes inherit."""
        return self.path / "processes.lock"

    @property
    def cluster_version(self) -> int | None:
        """The major version of the existing cluster; None where there is none yet."""
        try:
            return int((self.cluster / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None

    def starting(self, deadline: Deadline) -> AbstractContextManager[None]:
        """Hold the right to start, stop and attach; see `exclusive`."""
        return exclusive(self.path / _START_LOCK, deadline)

    def use(self) -> FileLock:
        """Count as one of the server's users until the lock is released.

        To be called under `starting`.
        """
        lease = FileLock(self.path / "users.lock")
        lease.acquire(shared=True)
        return lease

    def is_used(self) -> bool:
        """Whether any program counts as a user; to be called under `starting`."""
        return not is_free(self.path / "users.lock")

    def has_processes(self) -> bool:
        """Whether a process of a server that was launched here is alive.

        To be called under `starting`.
        """
        return not is_free(self.processes_lock)

    def rotate_log(self) -> None:
        """Put a log that has grown aside; one generation is kept."""
        if self.log.exists() and self.log.stat().st_size > _LOG_LIMIT_BYTES:
            self.log.replace(self.log.with_name("server.log.1"))

    def _refuse_foreign(self) -> None:
        self._refuse_other_owner()
        names = {entry.name for entry in self.path.iterdir()} - {"lost+found"}
        if names and _START_LOCK not in names:
            raise EmbeddedServerError(
                f"{self.path} contains other files: name an empty or a new folder"
            )

    def _refuse_other_owner(self) -> None:
        status = self.path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            raise EmbeddedServerError(f"{self.path} is not a folder")
        if status.st_uid != os.geteuid():
            raise EmbeddedServerError(
                f"{self.path} belongs to user id {status.st_uid} and this program runs as"
                f" {os.geteuid()}: run it as that user, or name another folder"
            )


def _resolved(path: Path | str) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except (TypeError, ValueError, RuntimeError) as error:
        raise EmbeddedServerError(
            f"the folder of the embedded server must be the path of a folder: {error}"
        ) from None
