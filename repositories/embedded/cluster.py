"""Making a cluster and launching its server."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from domain.errors import ConfigurationError, EmbeddedServerError
from repositories.embedded.credentials import SUPERUSER, write_private
from repositories.embedded.locks import FileLock
from repositories.embedded.postmaster import PID_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import SecretStr

    from repositories.embedded.account import Account
    from repositories.embedded.binaries import Installation
    from repositories.embedded.directory import DataDirectory
    from repositories.embedded.waiting import Deadline

# The size that the write-ahead log may reach between checkpoints. This much space must be free: a
# server that cannot write its log stops, and does not start again until there is space.
_LOG_BYTES: Final = 256 * 2**20
_LOG_TAIL_BYTES: Final = 8192
DEFAULTS: Final = {
    "shared_buffers": "128MB",
    "max_wal_size": f"{_LOG_BYTES // 2**20}MB",
    "min_wal_size": "64MB",
    "maintenance_work_mem": "256MB",  # building an HNSW graph that does not fit takes 3 × as long
    "jit": "off",
    "log_error_verbosity": "terse",  # no DETAIL line: it quotes rows
    "log_min_error_statement": "panic",  # nor the statement, with its literals
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_OURS: Final = frozenset(
    {
        "listen_addresses",
        "port",
        "unix_socket_directories",
        "unix_socket_permissions",
        "unix_socket_group",
        "data_directory",
        "config_file",
        "hba_file",
        "ident_file",
        "external_pid_file",
        "cluster_name",
        "logging_collector",
        "password_encryption",
    }
)
_ACCESS: Final = """# Written at every start. Every role needs its password, on sockets and on TCP.
local all         all       scram-sha-256
local replication postgres  scram-sha-256
host  all         all       127.0.0.1/32  scram-sha-256
"""
# Leaves out the answers to `pg_isready`.
_BLAMES: Final = re.compile(r"(FATAL|PANIC|error):(?!\s*the database system is )")
_HERE: Final = Path("/proc/self/cwd")
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 -- looked at, never written to
_SHARED_BYTES: Final = 4 * 2**20  # with 2 MB initdb fails
_PARALLEL_BYTES: Final = 2 * 2**30  # twice the memory of an initial load


@dataclass(frozen=True)
class Listening:
    """The addresses that a server listens on.

    It always listens in a private folder, and on 127.0.0.1 only if there is a TCP port.
    """

    socket_dir: Path
    tcp_port: int | None = None

    @property
    def settings(self) -> dict[str, str]:
        """These addresses as settings of the server."""
        return {
            "unix_socket_directories": str(self.socket_dir),
            "unix_socket_permissions": "0700",
            "listen_addresses": "" if self.tcp_port is None else "127.0.0.1",
            "port": str(self.tcp_port or 5432),
            "password_encryption": "scram-sha-256",
            "cluster_name": self.socket_dir.name,
        }


@dataclass(frozen=True)
class Launcher:
    """One installation and one account, for one data directory.

    Everything here happens under `directory.starting`.
    """

    directory: DataDirectory
    install: Installation
    account: Account

    def make_cluster(self, password: SecretStr, socket_dir: Path, deadline: Deadline) -> None:
        """Create the cluster.

        It is renamed when it is complete, so that a killed program leaves no partial cluster.

        Raises:
            EmbeddedServerError: the disk is too full, or initdb fails; the message contains its
                error.
        """
        self._require_space()
        unfinished = self.directory.unfinished_cluster
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        self.account.own(unfinished)
        password_file = socket_dir / "password"
        write_private(password_file, password.get_secret_value().encode(), owner=self.account.owner)
        command = [
            self.install.program("initdb"),
            "-D",
            _data_argument(unfinished),
            "-U",
            SUPERUSER,
            "--pwfile",
            str(password_file),
            "--auth",
            "scram-sha-256",
            "--data-checksums",
            "--encoding",
            "UTF8",
            "--no-instructions",
            *self._locale(),
        ]
        try:
            with self._log() as log, _held(self.directory.processes_lock) as lock:
                start = log.tell()
                if (
                    self.account.run(
                        command,
                        cwd=unfinished,
                        output=log,
                        within=deadline,
                        keep_open=[lock.descriptor],
                    )
                    != 0
                ):
                    raise EmbeddedServerError(
                        f"PostgreSQL could not create a cluster: {self.complaint(start)}"
                    )
        finally:
            password_file.unlink()
        unfinished.rename(self.directory.cluster)
        _sync(self.directory.path)

    def launch(self, listening: Listening, settings: Mapping[str, str], deadline: Deadline) -> int:
        """Start the server without waiting for it, and return the size of its log before.

        The PID file of a dead server is removed first. That is safe only here, where no process
        of this cluster is alive.

        Returns:
            The position of the log from which `complaint` reads.

        Raises:
            EmbeddedServerError: the disk is too full.
        """
        self._require_space()
        cluster = self.directory.cluster
        self._adopt(cluster)
        (cluster / PID_FILE).unlink(missing_ok=True)
        write_private(cluster / "pg_hba.conf", _ACCESS.encode(), owner=self.account.owner)
        parameters = {**DEFAULTS, **_for_parallel_builds(), **settings, **listening.settings}
        options = [word for item in parameters.items() for word in ("-c", "=".join(item))]
        command = [
            self.install.program("pg_ctl"),
            "start",
            "--no-wait",
            "--silent",
            "-D",
            _data_argument(cluster),
        ]
        self.directory.rotate_log()
        with self._log() as log, _held(self.directory.processes_lock) as lock:
            start = log.tell()
            self.account.run(
                [*command, "-o", shlex.join(options)],
                cwd=cluster,
                output=log,
                within=deadline,
                keep_open=[lock.descriptor],
            )
        return start

    def is_accepting(self, socket_dir: Path, port: int) -> bool:
        """Return whether the server takes connections.

        It does not while it starts, recovers or stops (57P03).
        """
        command = [
            self.install.program("pg_isready"),
            "-q",
            "-t",
            "2",
            "-h",
            str(socket_dir),
            "-p",
            str(port),
            "-d",
            SUPERUSER,
        ]
        return (
            subprocess.run(
                command, env={"LANG": "C.UTF-8"}, stdin=subprocess.DEVNULL, check=False
            ).returncode
            == 0
        )

    def complaint(self, start: int | None = None) -> str:
        """Return the error in the log that explains a failure.

        It is the first one after the position `start`, where initdb or the server began, because
        later errors follow from it. Without a position it is the last one.
        """
        with self.directory.log.open("rb") as log:
            log.seek(max(start or 0, os.fstat(log.fileno()).st_size - _LOG_TAIL_BYTES))
            lines = [
                line for line in log.read().decode(errors="replace").splitlines() if line.strip()
            ]
        blamed = [line for line in lines if _BLAMES.search(line)] or lines or ["it said nothing"]
        line = blamed[-1 if start is None else 0]
        return re.sub(r"^.*?(FATAL|PANIC|error):\s*", "", line)

    def _require_space(self) -> None:
        free = shutil.disk_usage(self.directory.path).free
        if free < _LOG_BYTES:
            available, needed = free // 2**20, _LOG_BYTES // 2**20
            raise EmbeddedServerError(
                f"PostgreSQL needs {needed} MB of free space and {self.directory.path} has"
                f" {available}: make room"
            )
        if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free < _SHARED_BYTES:
            raise EmbeddedServerError(
                f"PostgreSQL needs {_SHARED_BYTES // 2**20} MB of free shared memory in"
                f" {_SHARED_MEMORY}: make it larger, as with `docker run --shm-size=256m`"
            )

    def _adopt(self, cluster: Path) -> None:
        """Give the files to the server's user.

        A volume may come from a machine that gave this user another number.
        """
        if self.account.switches and cluster.stat().st_uid != self.account.uid:
            for path in (cluster, *cluster.rglob("*")):
                self.account.own(path)
        cluster.chmod(0o700)

    def _locale(self) -> list[str]:
        """Return the options for Unicode rules that are the same on every machine.

        On a system without C.UTF-8 the locale is C.
        """
        provider = (
            ["--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"]
            if self.install.version >= 17
            else []
        )
        return ["--locale", "C.UTF-8" if sys.platform == "linux" else "C", *provider]

    @contextmanager
    def _log(self) -> Iterator[IO[bytes]]:
        with self.directory.log.open("ab") as log:
            self.directory.log.chmod(0o600)
            yield log


@contextmanager
def _held(path: Path) -> Iterator[FileLock]:
    """Lock a file for a child process that inherits the open file.

    After the block only the child holds the lock, until it ends.
    """
    lock = FileLock(path)
    try:
        if not lock.acquire():
            raise EmbeddedServerError(
                f"a server that is running holds {path}: use that server, or stop it first"
            )
        yield lock
    finally:
        lock.close()


def _sync(folder: Path) -> None:
    """Flush a folder, so that a rename in it survives a power failure.

    Without it the next start may find, and delete, an unfinished cluster.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _for_parallel_builds() -> dict[str, str]:
    """Return the setting that disables parallel index builds if shared memory is too small.

    A container often has only 64 MB in /dev/shm.
    """
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free >= _PARALLEL_BYTES:
        return {}
    return {"max_parallel_maintenance_workers": "0"}


def checked_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings in lower case, after checking that a user may set them.

    Raises:
        ConfigurationError: this package sets one itself, or its name is not that of a setting.
    """
    for name in settings:
        if name.lower() in _OURS:
            raise ConfigurationError(
                f"{name} is set by the embedded server itself: remove it", setting=name
            )
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", name):
            raise ConfigurationError(
                "this is not the name of a PostgreSQL setting: write one such as work_mem",
                setting=name,
            )
    return {name.lower(): value for name, value in settings.items()}


def _data_argument(cluster: Path) -> str:
    """Return the path of the cluster: the working directory on systems with /proc.

    A process needs no permission for the folders above its working directory, and the path may
    have any length. So a server that root starts works below root's private folders, without a
    change of their permissions.
    """
    return str(_HERE if _HERE.exists() else cluster)
