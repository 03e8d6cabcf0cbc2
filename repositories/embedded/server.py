"""An embedded server, as one program uses it."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from domain.errors import ConfigurationError, EmbeddedServerError, InvalidInput
from repositories.embedded.admin import DATABASE, Admin
from repositories.embedded.cluster import checked_settings
from repositories.embedded.credentials import APPLICATION, SUPERUSER, Login
from repositories.embedded.directory import DataDirectory
from repositories.embedded.lifecycle import (
    abandon,
    credentials_of,
    launch,
    launcher_for,
    leave,
    running,
    shut_down,
)
from repositories.embedded.waiting import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from pydantic import SecretStr

    from repositories.embedded.cluster import Launcher
    from repositories.embedded.credentials import Credentials
    from repositories.embedded.locks import FileLock
    from repositories.embedded.postmaster import Postmaster

START_WITHIN: Final = timedelta(seconds=60)
STOP_WITHIN: Final = timedelta(seconds=30)


class _Connected(NamedTuple):
    """A running server that this program uses."""

    launcher: Launcher
    postmaster: Postmaster
    credentials: Credentials
    lease: FileLock


class EmbeddedServer:
    """A PostgreSQL server with pgvector that this program uses, private to the user who started it.

    Programs that name the same folder share one server: the first starts it, and the last one to
    leave stops it. The server is not a child process of any of them, so killing one does not affect
    the others. If all of them are killed, the server continues to run, and the next program uses
    it. With `keep` it also outlives the last program, until `stop`.

    Create objects with `start` and `find`. A program leaves with `release`, at the end of a `with`
    block, or when the interpreter ends. Use each object in one thread only. In a forked child the
    object only describes the parent's server.
    """

    def __init__(self, connected: _Connected) -> None:
        """Use `start` or `find` instead.

        Raises:
            InvalidInput: always, if it is called with a folder.
        """
        if not isinstance(connected, _Connected):
            raise InvalidInput(
                "create an embedded server with EmbeddedServer.start(data_dir), or find a running"
                " one with EmbeddedServer.find(data_dir)",
                field="data_dir",
            )
        launcher, postmaster, credentials, lease = connected

        def login(role: str) -> Login:
            return Login(postmaster.socket_dir, postmaster.port, role, credentials.of(role))

        self._launcher = launcher
        self._postmaster = postmaster
        self._admin = Admin(launcher.install, login(SUPERUSER))
        self._application = login(APPLICATION)
        self._lease: FileLock | None = lease
        self._owner = os.getpid()

    @classmethod
    def start(
        cls,
        data_dir: Path | str,
        *,
        version: int | None = None,
        keep: bool = False,
        settings: Mapping[str, str] | None = None,
        tcp_port: int | None = None,
        deadline: timedelta = START_WITHIN,
    ) -> Self:
        """Use the server of this folder; start it if it does not run.

        Args:
            data_dir: the folder, which is created if it is missing.
            version: PostgreSQL's major version, by default that of the existing cluster, or else
                the newest.
            keep: whether the server continues to run after the last program leaves.
            settings: settings of the server. A server that already runs keeps its own.
            tcp_port: a port of 127.0.0.1 to listen on as well, with the same passwords. Without
                it the server listens on its Unix socket only.
            deadline: how long to wait for the server.

        Raises:
            ConfigurationError: the embedded server makes one of the settings itself, or the port
                is not between 1 and 65535.
            EmbeddedServerError: the server cannot be prepared, or does not answer before the
                deadline; the message says why.
        """
        checked = checked_settings(settings or {})
        if tcp_port is not None and not 0 < tcp_port < 65536:
            raise ConfigurationError("a port is a number from 1 to 65535", setting="tcp_port")
        until = Deadline(deadline)
        with _explained():
            directory = DataDirectory.prepare(data_dir)
            with directory.starting(until):
                launcher = launcher_for(directory, version, until)
                credentials = credentials_of(directory)
                lease = directory.use()
                try:
                    postmaster = running(launcher, until) or launch(
                        launcher, credentials, checked, tcp_port, until
                    )
                    _require_port(postmaster, tcp_port)
                    server = cls._attach(launcher, postmaster, credentials, lease, until)
                    if keep:
                        directory.kept_mark.touch(mode=0o600)
                except BaseException:
                    abandon(launcher, lease, Deadline(STOP_WITHIN))
                    raise
        return server

    @classmethod
    def find(cls, data_dir: Path | str, *, deadline: timedelta = START_WITHIN) -> Self | None:
        """Use the server of this folder if it runs, or return None without starting anything.

        Raises:
            EmbeddedServerError: the folder belongs to another user, or the server runs and does
                not answer before the deadline.
        """
        until = Deadline(deadline)
        with _explained():
            directory = DataDirectory.find(data_dir)
            if directory is None:
                return None
            with directory.starting(until):
                launcher = launcher_for(directory, None, until)
                postmaster = running(launcher, until)
                if postmaster is None:
                    return None
                lease = directory.use()
                try:
                    return cls._attach(
                        launcher, postmaster, credentials_of(directory), lease, until
                    )
                except BaseException:
                    lease.release()
                    raise

    @classmethod
    def _attach(
        cls,
        launcher: Launcher,
        postmaster: Postmaster,
        credentials: Credentials,
        lease: FileLock,
        until: Deadline,
    ) -> Self:
        """Log in as the superuser, which proves that the server knows the folder's passwords."""
        server = cls(_Connected(launcher, postmaster, credentials, lease))
        server._admin.prepare(credentials.application_password, until)
        atexit.register(server.release)
        return server

    @property
    def url(self) -> SecretStr:
        """The application's URL: `postgresql://recollect:…@/recollect?host=…&port=…`."""
        return self._application.url(DATABASE)

    @property
    def admin_url(self) -> SecretStr:
        """The superuser's URL of the database, for creating extensions; not for applications."""
        return self._admin.login.url(DATABASE)

    @property
    def tcp_url(self) -> SecretStr | None:
        """The application's URL on 127.0.0.1, or None if the server has only its Unix socket."""
        return self._application.tcp_url(DATABASE) if self._postmaster.tcp else None

    @property
    def version(self) -> int:
        """PostgreSQL's major version."""
        return self._admin.install.version

    @property
    def data_dir(self) -> Path:
        """The folder, absolute and without symbolic links."""
        return self._launcher.directory.path

    @property
    def socket_dir(self) -> Path:
        """The private folder with the server's socket."""
        return self._postmaster.socket_dir

    @property
    def port(self) -> int:
        """The number in the socket's name, and the TCP port where there is one."""
        return self._postmaster.port

    @property
    def pid(self) -> int:
        """The process id of the server's main process."""
        return self._postmaster.process.pid

    def create_database(self, name: str, *, template: str | None = None) -> SecretStr:
        """Create a database that the application owns, with pgvector, and return its URL.

        Raises:
            ConfigurationError: the name has other characters than lower-case letters, digits and
                underscores.
            EmbeddedServerError: the database exists, or the template is missing or in use.
        """
        self._admin.create_database(name, template, Deadline(START_WITHIN))
        return self._application.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database that `create_database` made, and end its connections.

        Nothing happens if the database does not exist.

        Raises:
            ConfigurationError: it is the server's own database, or `create_database` would refuse
                the name.
            EmbeddedServerError: the server refuses.
        """
        self._admin.drop_database(name, Deadline(START_WITHIN))

    def release(self) -> None:
        """Stop using the server; the last program to do so stops it, unless `keep` was set.

        A second call does nothing.

        Raises:
            EmbeddedServerError: the server did not stop.
        """
        self._end(stop=False)

    def stop(self) -> None:
        """Stop the server for everyone, kept or not; its data stays.

        Raises:
            EmbeddedServerError: it did not stop, or was not launched by this package.
        """
        self._end(stop=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<EmbeddedServer PostgreSQL {self.version} in {self.data_dir}>"

    def _end(self, *, stop: bool) -> None:
        lease, self._lease = self._lease, None
        atexit.unregister(self.release)
        if self._owner != os.getpid():
            if lease is not None:
                lease.close()
            return
        if lease is None and not stop:
            return
        directory = self._launcher.directory
        if not directory.path.exists():
            self._postmaster.abort()  # its data is deleted, so no program can use it any more
            return
        until = Deadline(STOP_WITHIN)
        with _explained(), directory.starting(until):
            if stop and lease is not None:
                lease.release()
            if stop:
                shut_down(self._launcher, until)
            elif lease is not None:
                leave(self._launcher, lease, until)


@contextmanager
def _explained() -> Iterator[None]:
    """Turn an OSError of the block into an EmbeddedServerError that names the file.

    Raises:
        EmbeddedServerError: the block raised an OSError, or the system is Windows.
    """
    if sys.platform == "win32":
        raise EmbeddedServerError(
            "the embedded server runs on Linux and macOS: set DATABASE_URL to a server of your own"
        )
    try:
        yield
    except OSError as error:
        named = f"{error.filename}: " if error.filename else ""
        raise EmbeddedServerError(
            f"the embedded server cannot be used: {named}{error.strerror or error}"
        ) from error


def _require_port(postmaster: Postmaster, tcp_port: int | None) -> None:
    if tcp_port is not None and (not postmaster.tcp or postmaster.port != tcp_port):
        raise EmbeddedServerError(
            f"the server runs already, and does not listen on 127.0.0.1:{tcp_port}: stop it first"
        )
