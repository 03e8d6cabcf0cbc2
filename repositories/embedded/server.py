"""One program's hold on an embedded server."""

from __future__ import annotations

import atexit
import os
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from domain.errors import ConfigurationError, EmbeddedServerError
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


class EmbeddedServer:
    """A PostgreSQL server with pgvector that this program uses, private to the user who started it.

    Programs that name the same folder share one server: the first starts it, the last to leave
    stops it. It is no child of any of them, so that one may be killed without harm to the others; a
    server whose programs were all killed goes on, and the next program finds it. With `keep` it
    also outlives the last program, until `stop`.

    Made by `start` and `find`; left by `release`, by the end of a `with` block, or at the latest
    when the interpreter ends. Safe in threads as far as each object is used by one; in a forked
    child it is only a description of the parent's server.
    """

    def __init__(
        self, launcher: Launcher, postmaster: Postmaster, credentials: Credentials, lease: FileLock
    ) -> None:
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
        """Use the server of this folder, and start it where it does not run; the folder is made
        where it is missing.

        `version` is PostgreSQL's major version: by default that of the existing cluster, or else
        the newest. `settings` are the server's, and count for the program that starts it: a server
        that runs already keeps its own. `tcp_port` makes it listen on 127.0.0.1 as well, with the
        same passwords; without it there is no TCP at all.

        Raises:
            ConfigurationError: a setting that is not the user's to make, or a port outside 1 to
                65535.
            EmbeddedServerError: the server cannot be prepared, or does not answer until the
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
        """Use the server of this folder if it runs; None if it does not, and nothing is started or
        made.

        Raises:
            EmbeddedServerError: the folder is another user's, or the server runs and does not
                answer until the deadline.
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
        """Log in as the superuser: a server that does not know our password is not ours."""
        server = cls(launcher, postmaster, credentials, lease)
        server._admin.prepare(credentials.application_password, until)
        atexit.register(server.release)
        return server

    @property
    def url(self) -> SecretStr:
        """Where the application finds its database.

        `postgresql://recollect:…@/recollect?host=…&port=…`.
        """
        return self._application.url(DATABASE)

    @property
    def admin_url(self) -> SecretStr:
        """The same database for the superuser; for creating extensions, not for the application."""
        return self._admin.login.url(DATABASE)

    @property
    def tcp_url(self) -> SecretStr | None:
        """The application's database by way of 127.0.0.1.

        None where the server listens on its Unix socket alone.
        """
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
        """Create a database that the application owns, with the extension, and return the
        application's URL of it.

        Raises:
            ConfigurationError: a name with other than lower-case letters, digits and underscores.
            EmbeddedServerError: it exists, or the template is missing or in use.
        """
        self._admin.create_database(name, template, Deadline(START_WITHIN))
        return self._application.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database that `create_database` made, whoever is connected; one that does not
        exist is fine.

        Raises:
            ConfigurationError: the server's own database, or a name that `create_database` would
                not take.
            EmbeddedServerError: the server refuses.
        """
        self._admin.drop_database(name, Deadline(START_WITHIN))

    def release(self) -> None:
        """Stop using the server; the last to do so stops it, unless it is kept. Doing it again
        changes nothing.

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
            self._postmaster.abort()  # its data is deleted, and so is everybody else's way to it
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
    """Say which file the system refused, in one sentence.

    Raises:
        EmbeddedServerError: on another system than these, or in place of an OSError.
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
