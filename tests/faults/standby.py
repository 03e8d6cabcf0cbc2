"""A standby of an embedded server: a copy that follows it and only reads."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr
from sqlalchemy.engine import make_url

from repositories.database.embedded.account import Account

if TYPE_CHECKING:
    from repositories.database.embedded import EmbeddedServer


@contextmanager
def standby_of(primary: EmbeddedServer, **settings: str) -> Iterator[SecretStr]:
    """Yield the application's URL of a running standby; `settings` are its server's own."""
    account, install = Account.for_server(), primary._admin.install
    user = {"user": account.uid, "group": account.gid, "extra_groups": []} if account.switches else {}
    # Not below pytest's folders, which the server's user may not enter.
    with tempfile.TemporaryDirectory(prefix="recollect-standby-") as name:
        folder = Path(name)
        account.own(folder)
        cluster = folder / "data"
        admin = make_url(primary.admin_url.get_secret_value()).set(drivername="postgresql").set(database=None)
        source = admin.render_as_string(hide_password=False)
        copied = [install.program("pg_basebackup"), "-d", source, "-D", str(cluster), "-R", "-X", "stream", "-c", "fast", "-N"]
        subprocess.run(copied, cwd=folder, check=True, capture_output=True, timeout=60, umask=0o077, **user)  # type: ignore[call-overload]
        given = {"unix_socket_directories": name, "listen_addresses": "", "port": "5432", "fsync": "off", **settings}
        options = [word for setting in given.items() for word in ("-c", "=".join(setting))]
        command = [install.program("postgres"), "-D", str(cluster), *options]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, start_new_session=True, **user)  # type: ignore[call-overload]
        try:
            _wait_until_ready(install.program("pg_isready"), name, folder / "log")
            url = make_url(primary.url.get_secret_value()).update_query_dict({"host": name, "port": "5432"})
            yield SecretStr(url.render_as_string(hide_password=False))
        finally:
            server.send_signal(2)  # a fast shutdown
            server.wait(30)


def _wait_until_ready(program: str, folder: str, log: Path) -> None:
    until = time.monotonic() + 30
    while subprocess.run([program, "-q", "-h", folder, "-p", "5432"], check=False).returncode != 0:
        assert time.monotonic() < until, log.read_text(errors="replace")
        time.sleep(0.05)
