"""Finding, starting and stopping the server of one data directory.

Every function needs the lock of `directory.starting`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from domain.errors import EmbeddedServerError
from repositories.embedded import sockets
from repositories.embedded.account import Account
from repositories.embedded.binaries import NEWEST, Installation
from repositories.embedded.cluster import Launcher, Listening
from repositories.embedded.credentials import Credentials
from repositories.embedded.postmaster import Postmaster

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repositories.embedded.directory import DataDirectory
    from repositories.embedded.locks import FileLock
    from repositories.embedded.waiting import Deadline


def launcher_for(directory: DataDirectory, version: int | None, until: Deadline) -> Launcher:
    """Return the installation and account for this directory.

    Args:
        version: the major version, by default that of the existing cluster, or else the newest.

    Raises:
        EmbeddedServerError: the cluster is of another version, or the installation or the account
            is not available.
    """
    existing = directory.cluster_version
    if version is not None and existing not in {None, version}:
        raise EmbeddedServerError(
            f"{directory.path} holds a cluster of PostgreSQL {existing}, not {version!r}"
        )
    account = Account.for_server()
    install = Installation.of(existing or NEWEST if version is None else version).runnable_by(
        account, until
    )
    return Launcher(directory, install, account)


def credentials_of(directory: DataDirectory) -> Credentials:
    """Return the directory's credentials; generate them if no cluster exists yet.

    Raises:
        EmbeddedServerError: a cluster exists, and its credentials are missing or damaged.
    """
    if directory.cluster_version is None and not directory.credentials.exists():
        return Credentials.make(directory.credentials)
    return Credentials.load(directory.credentials)


def running(launcher: Launcher, until: Deadline) -> Postmaster | None:
    """Wait until the server takes connections and return it; None if no process of it is left.

    After its main process was killed, a server's other processes live until they notice. This
    function waits for them and sends no signal.

    Raises:
        EmbeddedServerError: the server neither answers nor ends before the deadline.
    """
    while True:
        postmaster = Postmaster.of(launcher.directory.cluster, launcher.account)
        if postmaster is None:
            if not launcher.directory.has_processes():
                return None
        elif not postmaster.socket.exists():
            # The temporary folder was cleaned: no new connection can reach this server.
            shut_down(launcher, until)
            return None
        else:
            sockets.verify(postmaster.socket_dir, launcher.account)
            if launcher.is_accepting(postmaster.socket_dir, postmaster.port):
                return postmaster
        if until.passed:
            raise EmbeddedServerError(
                f"{_state(postmaster)} after {until.seconds:g} s: {launcher.complaint()}"
            )
        until.pause()


def launch(
    launcher: Launcher,
    credentials: Credentials,
    settings: Mapping[str, str],
    tcp_port: int | None,
    until: Deadline,
) -> Postmaster:
    """Start the server, create its cluster if it is missing, and wait for connections to work.

    Raises:
        EmbeddedServerError: the server does not start; the message contains its own error.
    """
    directory = launcher.directory
    socket_dir = sockets.socket_directory(directory.path, credentials.identity)
    sockets.prepare(socket_dir, launcher.account)
    try:
        if directory.cluster_version is None:
            launcher.make_cluster(credentials.superuser_password, socket_dir, until)
        directory.kept_mark.unlink(missing_ok=True)
        log_start = launcher.launch(Listening(socket_dir, tcp_port), settings, until)
        postmaster = running(launcher, until)
        if postmaster is None:
            raise EmbeddedServerError(f"PostgreSQL did not start: {launcher.complaint(log_start)}")
    except BaseException:
        sockets.remove(socket_dir)  # if a server runs, its socket keeps the folder
        raise
    return postmaster


def leave(launcher: Launcher, lease: FileLock, until: Deadline) -> None:
    """Give up a lease, and stop the server if it was the last one and the server is not kept.

    Raises:
        EmbeddedServerError: the server did not stop.
    """
    lease.release()
    directory = launcher.directory
    if directory.has_processes() and not directory.kept_mark.exists() and not directory.is_used():
        shut_down(launcher, until)


def abandon(launcher: Launcher, lease: FileLock, until: Deadline) -> None:
    """Leave after a failure, and ignore further errors so that the caller sees the first."""
    with suppress(EmbeddedServerError, OSError):
        leave(launcher, lease, until)


def shut_down(launcher: Launcher, until: Deadline) -> None:
    """Stop the server.

    If it does not end within half of the time, an immediate shutdown follows, which loses no
    committed data either.

    Raises:
        EmbeddedServerError: it does not stop, or this package did not start it.
    """
    directory = launcher.directory
    directory.kept_mark.unlink(missing_ok=True)
    postmaster = Postmaster.of(directory.cluster, launcher.account)
    # A server that is starting has processes before its PID file is complete.
    while postmaster is None and directory.has_processes() and not until.passed:
        until.pause()
        postmaster = Postmaster.of(directory.cluster, launcher.account)
    if postmaster is None:
        return
    if not directory.has_processes():
        raise EmbeddedServerError(
            f"the server of {directory.path} was not started by this library: stop it with pg_ctl"
        )
    postmaster.stop()
    patience = until.half()
    while directory.has_processes():
        if until.passed:
            raise EmbeddedServerError(
                f"the server of {directory.path} did not stop: {launcher.complaint()}"
            )
        if patience.passed:
            postmaster.abort()
        until.pause()
    postmaster.reap()
    sockets.remove(postmaster.socket_dir)


def _state(postmaster: Postmaster | None) -> str:
    return (
        "PostgreSQL accepts no connections"
        if postmaster
        else "processes of a killed PostgreSQL are still running"
    )
