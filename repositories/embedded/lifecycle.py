"""Finding, starting and stopping the server of one data directory.

All of it under `directory.starting`.
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
    """The installation and account for this directory; without a version, the existing cluster's or
    the newest.

    Raises:
        EmbeddedServerError: the cluster is of another version, or no installation or account is to
            be had.
    """
    existing = directory.cluster_version
    if version is not None and existing not in {None, version}:
        raise EmbeddedServerError(
            f"{directory.path} holds a cluster of PostgreSQL {existing}, not {version}"
        )
    account = Account.for_server()
    install = Installation.of(version or existing or NEWEST).runnable_by(account, until)
    return Launcher(directory, install, account)


def credentials_of(directory: DataDirectory) -> Credentials:
    """The directory's credentials, drawn where there is no cluster that depends on older ones.

    Raises:
        EmbeddedServerError: there is a cluster, and its credentials are missing or damaged.
    """
    if directory.cluster_version is None and not directory.credentials.exists():
        return Credentials.make(directory.credentials)
    return Credentials.load(directory.credentials)


def running(launcher: Launcher, until: Deadline) -> Postmaster | None:
    """The running server, as soon as it takes connections; None when no process of it is left.

    A server whose main process was killed has others that live until they notice: they are waited
    for, not signalled.

    Raises:
        EmbeddedServerError: it neither answers nor ends until the deadline.
    """
    while True:
        postmaster = Postmaster.of(launcher.directory.cluster, launcher.account)
        if postmaster is None:
            if not launcher.directory.has_processes():
                return None
        elif not postmaster.socket.exists():
            # Somebody cleaned the temporary folder: no new connection can reach this server any
            # more.
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
    """Start the server, make its cluster first where there is none, and wait until it takes
    connections.

    Raises:
        EmbeddedServerError: it does not start; the message has the server's own reason.
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
        sockets.remove(socket_dir)  # where a server does run, its socket keeps the folder
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
    """Leave after a failure, which is what the caller is going to hear about."""
    with suppress(EmbeddedServerError, OSError):
        leave(launcher, lease, until)


def shut_down(launcher: Launcher, until: Deadline) -> None:
    """Stop the server; one that does not end in half of the time is told to end at once, which
    loses nothing either.

    Raises:
        EmbeddedServerError: it goes on, or somebody launched it by other means and has to stop it.
    """
    directory = launcher.directory
    directory.kept_mark.unlink(missing_ok=True)
    postmaster = Postmaster.of(directory.cluster, launcher.account)
    if postmaster is None:
        return
    if not directory.has_processes():
        raise EmbeddedServerError(
            f"the server of {directory.path} was not launched from here: stop it with pg_ctl"
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
        "PostgreSQL takes no connections"
        if postmaster
        else "processes of a killed PostgreSQL are still at work"
    )
