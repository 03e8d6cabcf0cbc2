"""The server's main process, identified by its PID file and verified against the process table.

A PID file outlives its process, and the system may give the number to another process. So the
process must be called postgres, not be a child of a server, be alive (not a zombie), belong to the
server's user and have the cluster as its working directory. The working directory is a better proof
than a start time, because it does not depend on the clock. psutil remembers the start time of the
process, and sends no signal to a later process with the same number.
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
        """Return the main process that serves this cluster, or None.

        It is also None while a starting server has not finished its PID file.
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
        """Collect the exit status if this process is the parent, as PID 1 of a container is."""
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
