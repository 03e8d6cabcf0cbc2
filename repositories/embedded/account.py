"""The operating system user that the server runs as.

PostgreSQL refuses to run as root. If an ordinary user starts the server, it runs as that user. If
root starts it, it runs as a dedicated system user, with its own group and no supplementary groups.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.errors import EmbeddedServerError
from repositories.embedded.waiting import Deadline

if sys.platform != "win32":
    import pwd

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import IO

SYSTEM_USER = "recollect-pg"
_CREATE_WITHIN = timedelta(seconds=10)
_USERADD = (
    "useradd",
    "--system",
    "--user-group",
    "--no-create-home",
    "--home-dir",
    "/nonexistent",
    "--shell",
    "/bin/false",
)
_SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# The C library returns freed memory of more than 128 kB to the kernel. Planning a search takes 3
# MB, which every search would fetch from the kernel again, page by page.
_KEPT_MEMORY = str(8 * 2**20)
_ENVIRONMENT: Final = {
    "PATH": _SEARCH_PATH,
    "LANG": "C.UTF-8",
    "MALLOC_MMAP_THRESHOLD_": _KEPT_MEMORY,
    "MALLOC_TRIM_THRESHOLD_": _KEPT_MEMORY,
}


@dataclass(frozen=True)
class Account:
    """A user and group id.

    `switches` says whether this process has to become that user to act as it.
    """

    uid: int
    gid: int
    switches: bool

    @classmethod
    def for_server(cls) -> Account:
        """Return the caller's account, or for root that of the system user, created if missing.

        Raises:
            EmbeddedServerError: the user is missing and cannot be created, or it has privileges.
        """
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), switches=False)
        entry = _find_system_user() or _create_system_user()
        if entry.pw_uid == 0 or entry.pw_gid == 0:
            raise EmbeddedServerError(
                f"the system user {SYSTEM_USER} must have neither user id 0 nor group id 0"
            )
        return cls(entry.pw_uid, entry.pw_gid, switches=True)

    @property
    def owner(self) -> tuple[int, int] | None:
        """The user and group that the server's files must be given to, or None for the caller."""
        return (self.uid, self.gid) if self.switches else None

    def own(self, path: Path) -> None:
        """Give a file to this user; a link as a link."""
        if self.owner is not None:
            os.chown(path, *self.owner, follow_symlinks=False)

    def run(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        output: IO[bytes],
        within: Deadline,
        keep_open: Sequence[int] = (),
    ) -> int:
        """Run a command as this user in a session of its own and return its exit code.

        Raises:
            EmbeddedServerError: it had not ended at the deadline, and was killed.
            OSError: it cannot be run.
        """
        try:
            done = subprocess.run(
                command,
                cwd=cwd,
                env=_ENVIRONMENT,
                umask=0o077,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=keep_open,
                timeout=within.remaining,
                user=self.uid if self.switches else None,
                group=self.gid if self.switches else None,
                extra_groups=() if self.switches else None,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise EmbeddedServerError(
                f"{Path(command[0]).name} took more than {within.seconds:g} s"
            ) from None
        return done.returncode


def _find_system_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        return None


def _create_system_user() -> pwd.struct_passwd:
    """Create the user, or return the one that another program creates at the same time."""
    deadline = Deadline(_CREATE_WITHIN)
    reason = ""
    while not deadline.passed:
        try:
            done = subprocess.run(
                (*_USERADD, SYSTEM_USER),
                env={"PATH": _SEARCH_PATH},
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            reason = "useradd is not installed"
            break
        if (entry := _find_system_user()) is not None:
            return entry
        reason = done.stderr.strip()
        deadline.pause()
    raise EmbeddedServerError(
        f"PostgreSQL does not run as root, and the system user {SYSTEM_USER} cannot be created"
        f" ({reason}): create it, or run as an ordinary user"
    )
