"""The server's main process: found through its PID file, believed only when the process itself
bears it out.

A PID file outlives its process, and the system gives the number to somebody else. So the process
must be called postgres, be no child of a server, be alive (not a zombie), belong to the server's
user and have the cluster as its working directory. The working directory says more than a start
time: it survives a clock that is set. psutil notes the start time of the process it looked at, and
refuses to signal another one that got the same number since.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

    from repositories.embedded.account import Account

PID_FILE = "postmaster.pid"


@dataclass(frozen=True)
class Postmaster:
    """A verified main process, and where it listens."""

    process: psutil.Process
    port: int
    socket_dir: Path
    tcp: bool

    @classmethod
    def of(cls, cluster: Path, account: Account) -> Postmaster | None:
        """The one that serves this cluster, or None.

        None also while a starting server has not finished its PID file.
        """
        try:
            lines = (cluster / PID_FILE).read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return None
        # Lines: process id, data directory, start time, port, socket directory, listen address,
        # shared memory, status.
        if len(lines) < 6 or not (lines[0].isdigit() and lines[3].isdigit() and lines[4]):
            return None
        process = _verified(int(lines[0]), cluster, account)
        if process is None:
            return None
        return cls(process, int(lines[3]), Path(lines[4]), tcp=bool(lines[5]))

    @property
    def socket(self) -> Path:
        """The socket; it exists before the PID file names its folder."""
        return self.socket_dir / f".s.PGSQL.{self.port}"

    def stop(self) -> None:
        """Ask for a fast shutdown: transactions are rolled back, a checkpoint is written."""
        self._signal(signal.SIGINT)

    def abort(self) -> None:
        """Ask for an immediate shutdown: nothing acknowledged is lost, the next start recovers."""
        self._signal(signal.SIGQUIT)

    def reap(self) -> None:
        """Take the exit status where this process has become the parent, as the first process of a container does."""
        with suppress(ChildProcessError):
            os.waitpid(self.process.pid, os.WNOHANG)

    def _signal(self, number: signal.Signals) -> None:
        import psutil

        with suppress(psutil.NoSuchProcess):
            self.process.send_signal(number)


def _verified(pid: int, cluster: Path, account: Account) -> psutil.Process | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            command = process.cmdline()
            matches = (
                process.status() != psutil.STATUS_ZOMBIE
                and process.name() == "postgres"
                and "-D" in command  # a child's title replaces it
                and process.uids().real == account.uid
                and Path(process.cwd()) == cluster
            )
    except psutil.Error:
        return None
    return process if matches else None
