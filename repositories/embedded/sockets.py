"""The folder of the server's Unix socket: private, with a path short enough for a socket."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.errors import EmbeddedServerError

if TYPE_CHECKING:
    from repositories.embedded.account import Account

# Not tempfile.gettempdir(): that path can be long, can differ between programs, and the server's
# user may have no access to it.
_PARENT: Final = Path("/tmp")  # noqa: S108 - what is created below it is private, and is verified before every use


def socket_directory(data_dir: Path, identity: str) -> Path:
    """Return the socket folder for this data directory.

    `identity` makes the name unpredictable, and the path distinguishes copies of a data directory.
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
    """Check that only the server's user or this process's user can enter the folder.

    Raises:
        EmbeddedServerError: the folder is not private, or is not a folder.
    """
    status = folder.lstat()
    private = (
        stat.S_ISDIR(status.st_mode)
        and not status.st_mode & 0o077
        and status.st_uid in {account.uid, os.geteuid()}
    )
    if not private:
        raise EmbeddedServerError(
            f"{folder} is not private to the server's user: have it removed, because another user"
            " may have made it"
        )


def remove(folder: Path) -> None:
    """Remove the folder of a server that has ended; what cannot be removed does no harm."""
    try:
        folder.rmdir()
    except OSError:
        return


def _refuse_open_parent(parent: Path) -> None:
    """Refuse a parent without sticky bit: others could replace the folder after the check."""
    mode = parent.stat().st_mode
    if mode & 0o022 and not mode & stat.S_ISVTX:
        raise EmbeddedServerError(
            f"{parent} lets any user rename the folders of others: set its sticky bit (chmod +t)"
        )
