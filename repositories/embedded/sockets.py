"""The folder of the server's Unix socket.

Private, and with a path short enough for a socket's name.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.errors import EmbeddedServerError

if TYPE_CHECKING:
    from repositories.embedded.account import Account

# Not tempfile.gettempdir(): that can be long, another one for each program, and out of reach for
# the server's user.
_PARENT: Final = Path("/tmp")  # noqa: S108 - what is created below it is private, and is verified before every use


def socket_directory(data_dir: Path, identity: str) -> Path:
    """The folder for this data directory.

    `identity` makes it impossible to guess and the path tells copies apart.
    """
    digest = hashlib.sha256(f"{data_dir}\0{identity}".encode()).hexdigest()
    return _PARENT.resolve() / f"recollect-{digest[:16]}"


def prepare(folder: Path, account: Account) -> None:
    """Create the folder for the server's user and empty it of a dead server's sockets.

    Raises:
        EmbeddedServerError: something that is not private to that user is there already.
    """
    _refuse_open_parent(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        verify(folder, account)
    account.own(folder)
    for left_over in folder.iterdir():
        left_over.unlink()


def verify(folder: Path, account: Account) -> None:
    """Make sure that the folder is one, is the server's (or this process's) own, and is closed to
    everyone else.

    Raises:
        EmbeddedServerError: it is not.
    """
    found = folder.lstat()
    private = (
        stat.S_ISDIR(found.st_mode)
        and not found.st_mode & 0o077
        and found.st_uid in {account.uid, os.geteuid()}
    )
    if not private:
        raise EmbeddedServerError(
            f"{folder} is not private to the server's user: somebody else made it, have it removed"
        )


def remove(folder: Path) -> None:
    """Remove the folder of a server that has ended; what cannot be removed does no harm."""
    try:
        folder.rmdir()
    except OSError:
        return


def _refuse_open_parent(parent: Path) -> None:
    """Where others can rename what is ours (no sticky bit), checking it would prove nothing."""
    mode = parent.stat().st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise EmbeddedServerError(
            f"{parent} lets any user rename the folders of others: set its sticky bit (chmod +t)"
        )
