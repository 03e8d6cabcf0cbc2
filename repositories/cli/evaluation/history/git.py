"""The git program, for reading a repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SETTING: Final = "repository"
"""The name of the argument in errors."""

_OPTIONS: Final = (
    *("-c", "core.quotePath=off"),
    *("-c", "diff.renameLimit=2000"),
    *("-c", "blame.ignoreRevsFile="),
    *("-c", "log.showSignature=false"),
)
# A variable such as GIT_DIR names another repository than the path.
_ENVIRONMENT: Final = {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}


@dataclass(frozen=True, slots=True)
class GitRepository:
    """A repository with its whole history, read through the git program."""

    path: Path
    program: str

    @classmethod
    def open(cls, path: Path) -> GitRepository:
        """Return the repository at `path`: its working tree, its top folder, or a bare one.

        Raises:
            ConfigurationError: git is not installed, `path` is not a repository, it has no
                commit, or it is a shallow clone.
        """
        program = shutil.which("git")
        if program is None:
            raise ConfigurationError("git is not installed; install it and try again")
        if not path.is_dir():
            raise ConfigurationError(f"{path} is not a folder", setting=SETTING)
        repository = cls(path, program)
        if repository._failure("rev-parse", "--git-dir") is not None:
            raise ConfigurationError(f"{path} is not a git repository", setting=SETTING)
        if repository.text("rev-parse", "--is-shallow-repository").strip() == "true":
            raise ConfigurationError(
                f"{path} is a shallow clone; run `git fetch --unshallow` in it", setting=SETTING
            )
        if repository._failure("rev-parse", "--verify", "--quiet", "HEAD^{commit}") is not None:
            raise ConfigurationError(f"{path} has no commit", setting=SETTING)
        return repository

    @property
    def name(self) -> str:
        """The name of the folder, without `.git`."""
        folder = self.path.resolve()
        return (folder.parent if folder.name == ".git" else folder).name.removesuffix(".git")

    def text(self, *arguments: str) -> str:
        """Return the output of a git command; bytes that are not UTF-8 are replaced.

        Raises:
            ConfigurationError: The command failed; the message has git's first line.
        """
        return self._output(arguments).decode(errors="replace")

    def blobs(self, names: Iterable[str]) -> Iterator[bytes]:
        """Yield the content of each blob, such as `HEAD:path`, in order."""
        requests = "".join(f"{name}\n" for name in names)
        output = self._output(("cat-file", "--batch"), requests.encode())
        start = 0
        for _ in range(requests.count("\n")):
            end = output.index(b"\n", start)
            header = output[start:end].split()
            size = int(header[2]) if len(header) == 3 and header[1] == b"blob" else None
            yield b"" if size is None else output[end + 1 : end + 1 + size]
            start = end + 1 + (0 if size is None else size + 1)

    def _output(self, arguments: Iterable[str], stdin: bytes = b"") -> bytes:
        done = self._run(arguments, stdin)
        if done.returncode:
            raise ConfigurationError(f"git failed: {_first_line(done.stderr)}", setting=SETTING)
        return done.stdout

    def _failure(self, *arguments: str) -> str | None:
        done = self._run(arguments)
        return _first_line(done.stderr) if done.returncode else None

    def _run(
        self, arguments: Iterable[str], stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        environment = {name: value for name, value in os.environ.items() if "GIT_" not in name}
        return subprocess.run(
            [self.program, *_OPTIONS, "-C", str(self.path), *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            env=environment | _ENVIRONMENT,
        )


def _first_line(output: bytes) -> str:
    return next(iter(output.decode(errors="replace").splitlines()), "no message")
