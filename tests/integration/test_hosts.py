"""Connecting to one of several hosts.

Hosts that are away, hosts that say nothing, hosts that are not what was asked for, and TLS.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import socket
import subprocess
import tempfile
import time
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from sqlalchemy import text

from domain import errors
from repositories.embedded import EmbeddedServer
from repositories.postgres import connection as driver
from repositories.postgres.connect import connect_with_retry
from repositories.postgres.engine import create_engine
from repositories.postgres.errors import Phase, translating
from repositories.postgres.hosts import Hosts
from repositories.postgres.settings import Settings
from tests.conftest import free_port
from tests.listener import closing_connection, listening, passing_back

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SECRET = "canary-7Qx"
DEBIAN = Path("/usr/lib/postgresql/15/bin")
pytestmark = pytest.mark.skipif(
    os.name == "nt", reason="the embedded server runs on Linux and macOS"
)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    folder = tmp_path_factory.mktemp("hosts") / "data"
    with EmbeddedServer.start(
        folder, settings={"fsync": "off", "shared_buffers": "16MB"}, tcp_port=free_port()
    ) as running:
        yield running


def reached(postgres: EmbeddedServer, host: str, **settings: object) -> Settings:
    """The embedded server's settings, with other hosts."""
    base = Settings(url=postgres.tcp_url)
    parts = {
        "host": host,
        "database": base.database,
        "user": base.user,
        "password": base.password,
    }
    return Settings(**{**parts, "connect_timeout": 5, "connect_deadline": 30, **settings})


async def answer(settings: Settings, *, readonly: bool = False) -> int:
    """Connect, and return the server's port."""
    engine = create_engine(settings, readonly=readonly)
    try:
        await connect_with_retry(engine, settings)
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT inet_server_port()"))).scalar_one())
    finally:
        await engine.dispose()


class Proxy:
    """Passes bytes to and from the server, until a test makes it cut or swallow them."""

    def __init__(
        self, postgres: EmbeddedServer, *, port: int = 0, cut_after: bytes | None = None
    ) -> None:
        self._target, self._port, self._cut_after = postgres.port, port, cut_after
        self.frozen = False
        self.connections = 0

    @asynccontextmanager
    async def listening(self, *, silent: bool = False) -> AsyncIterator[int]:
        converse = self._swallow if silent else self._pass
        async with listening(converse, port=self._port) as port:
            yield port

    async def _swallow(self, reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.read(65536):
            pass

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._target)
        async with (
            closing_connection(server_writer),
            passing_back(server_reader, writer) as back,
        ):
            while data := await reader.read(65536):
                if self.frozen:
                    continue
                if self._cut_after is not None and self._cut_after in data:
                    back.cancel()
                    await asyncio.wait([back])
                    server_writer.write(data)
                    await server_reader.read(1)
                    return
                server_writer.write(data)


async def test_the_socket_and_tcp_lead_to_the_same_server(postgres: EmbeddedServer) -> None:
    for url in (postgres.url, postgres.tcp_url):
        settings = Settings(url=url)
        engine = create_engine(settings)
        async with engine.connect() as connection:
            assert (
                await connection.execute(text("SELECT current_database()"))
            ).scalar_one() == "recollect"
        await engine.dispose()


async def test_a_host_that_is_away_is_passed_over(postgres: EmbeddedServer) -> None:
    hosts = f"127.0.0.1:{free_port()},/nonexistent,127.0.0.1:{postgres.port}"
    assert await answer(reached(postgres, hosts)) == postgres.port


async def test_a_host_that_swallows_everything_costs_its_own_time_alone(
    postgres: EmbeddedServer,
) -> None:
    async with Proxy(postgres).listening(silent=True) as hole:
        started = time.monotonic()
        settings = reached(
            postgres,
            f"127.0.0.1:{hole},127.0.0.1:{postgres.port}",
            connect_timeout=1,
            sslmode="disable",
        )
        assert await answer(settings) == postgres.port
    assert 1 <= time.monotonic() - started < 10


async def test_a_name_that_is_gone_is_passed_over_and_alone_it_is_a_mistake(
    postgres: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve = socket.getaddrinfo

    def without_the_name(host: str, *arguments: object, **options: object) -> object:
        if host == "gone.example":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **options)  # type: ignore[arg-type]  # passes on whatever it was given

    monkeypatch.setattr(socket, "getaddrinfo", without_the_name)
    settings = reached(
        postgres, f"gone.example,127.0.0.1:{postgres.port}", sslmode="prefer", insecure=True
    )
    assert await answer(settings) == postgres.port
    with pytest.raises(
        errors.ConfigurationError, match=r"gone\.example cannot be resolved"
    ) as caught:
        await answer(reached(postgres, "gone.example"))
    assert caught.value.setting == "host"


async def test_a_server_of_the_wrong_kind_is_not_used(postgres: EmbeddedServer) -> None:
    host = f"127.0.0.1:{postgres.port}"
    for attributes in ("any", "primary", "read-write", "prefer-standby"):
        assert (
            await answer(reached(postgres, host, target_session_attrs=attributes)) == postgres.port
        )
    for attributes in ("standby", "read-only"):
        with pytest.raises(errors.DatabaseUnavailable, match="does not meet target_session_attrs"):
            await answer(
                reached(postgres, host, target_session_attrs=attributes, connect_deadline=1)
            )
    assert await answer(reached(postgres, f"{host},{host}"), readonly=True) == postgres.port


async def test_where_no_host_can_be_written_to_a_writer_reads_and_asks_no_silent_host_twice(
    postgres: EmbeddedServer,
) -> None:
    proxy = Proxy(postgres)
    async with proxy.listening(silent=True) as hole:
        hosts = f"127.0.0.1:{hole},127.0.0.1:{postgres.port}"
        readonly = "-c default_transaction_read_only=on"
        assert (
            await answer(
                reached(postgres, hosts, connect_timeout=1, sslmode="disable", options=readonly)
            )
            == postgres.port
        )
        assert proxy.connections == 1


@pytest.mark.parametrize(
    ("wrong", "expected", "words"),
    [
        ({"password": SECRET}, errors.AccessDenied, "refused this user or password"),
        ({"password": None}, errors.AccessDenied, "refused this user or password"),
        ({"user": "nobody"}, errors.AccessDenied, "refused this user or password"),
        ({"database": "nowhere"}, errors.ConfigurationError, "the database does not exist"),
        (
            {"options": "-c no_such_setting=1"},
            errors.ConfigurationError,
            "does not know one of the settings",
        ),
        (
            {"options": "-c jit=maybe"},
            errors.ConfigurationError,
            "refused the value of one of its settings",
        ),
    ],
    ids=str,
)
async def test_a_permanent_failure_is_raised_at_once(
    postgres: EmbeddedServer,
    wrong: dict[str, object],
    expected: type[errors.RecollectError],
    words: str,
) -> None:
    started = time.monotonic()
    with pytest.raises(expected, match=words) as caught:
        await answer(reached(postgres, f"127.0.0.1:{postgres.port}", **wrong))
    assert time.monotonic() - started < 10
    assert SECRET not in f"{caught.value}{caught.value!r}"
    assert f"127.0.0.1:{postgres.port}" in str(caught.value)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def noticed(happened: asyncio.Event, _: logging.LogRecord) -> bool:
    happened.set()
    return True


async def test_a_server_that_starts_late_is_waited_for(
    postgres: EmbeddedServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, refused = free_port(), asyncio.Event()
    monkeypatch.setattr(
        logging.getLogger("recollect.database"), "filters", [partial(noticed, refused)]
    )
    waiting = asyncio.ensure_future(
        answer(reached(postgres, f"127.0.0.1:{port}", connect_deadline=30))
    )
    await asyncio.wait_for(refused.wait(), 10)
    assert not waiting.done()
    async with Proxy(postgres, port=port).listening():
        assert await waiting == postgres.port
    records = [record for record in caplog.records if record.name == "recollect.database"]
    assert [record.getMessage() for record in records] == [
        f"no connection yet, trying again: 127.0.0.1:{port}: Connection refused"
    ], "the same cause is logged once"
    assert records[0].levelno == logging.WARNING


async def test_a_server_that_never_starts_is_given_up_at_the_deadline(
    postgres: EmbeddedServer, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    started = time.monotonic()
    with pytest.raises(errors.DatabaseUnavailable) as caught:
        await answer(reached(postgres, f"127.0.0.1:{port}", connect_deadline=0.5))
    assert 0.4 <= time.monotonic() - started < 5
    assert str(caught.value) == f"no connection within 0.5 s: 127.0.0.1:{port}: Connection refused"
    assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
    assert len([record for record in caplog.records if record.name == "recollect.database"]) == 1
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


async def test_a_deadline_shorter_than_one_attempt_holds_as_well(postgres: EmbeddedServer) -> None:
    async with Proxy(postgres).listening(silent=True) as hole:
        started = time.monotonic()
        with pytest.raises(errors.DatabaseUnavailable, match=f"127.0.0.1:{hole} does not answer"):
            await answer(
                reached(postgres, f"127.0.0.1:{hole}", connect_timeout=30, connect_deadline=0.3)
            )
    assert time.monotonic() - started < 10


async def test_a_connection_that_breaks_after_commit_was_sent_leaves_the_outcome_unknown(
    postgres: EmbeddedServer,
) -> None:
    async with Proxy(postgres, cut_after=b"COMMIT;").listening() as port:
        engine = create_engine(reached(postgres, f"127.0.0.1:{port}"))
        async with engine.connect() as connection:
            await connection.execute(text("SELECT pg_current_xact_id()"))
            with pytest.raises(errors.CommitOutcomeUnknown), translating(Phase.COMMIT):
                await connection.commit()
        await engine.dispose()


async def test_closing_does_not_wait_for_a_server_that_fell_silent(
    postgres: EmbeddedServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(driver, "_CLOSE_SECONDS", 0.2)
    proxy = Proxy(postgres)
    async with proxy.listening() as port:
        engine = create_engine(reached(postgres, f"127.0.0.1:{port}"))
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
        proxy.frozen = True
        started = time.monotonic()
        await engine.dispose()
        assert 0.2 <= time.monotonic() - started < 10
    assert not caplog.records


class Debian:
    """Debian's PostgreSQL 15, which speaks TLS and asks for certificates.

    It runs as `postgres` where this is root.
    """

    def __init__(self, folder: Path, authority: trustme.CA) -> None:
        self.folder, self.port = folder, free_port()
        self._account = "postgres" if os.geteuid() == 0 else None
        self._groups: list[str] | None = [] if self._account else None
        authority.cert_pem.write_to_path(str(folder / "root.pem"))
        identity = authority.issue_cert("localhost", "127.0.0.1")
        identity.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
        identity.private_key_pem.write_to_path(str(folder / "server.key"))
        (folder / "server.key").chmod(0o600)
        if self._account:
            entry = pwd.getpwnam(self._account)
            for path in (folder, *folder.iterdir()):
                os.chown(path, entry.pw_uid, entry.pw_gid)

    def start(self) -> subprocess.Popen[bytes]:
        data = self.folder / "data"
        self._run(
            DEBIAN / "initdb", "--no-sync", "--auth=trust", "--username=recollect", "--pgdata", data
        )
        (data / "pg_hba.conf").write_text(
            "hostssl postgres all 127.0.0.1/32 cert\nhostssl template1 all 127.0.0.1/32 trust\n"
        )
        files = {
            "ssl_ca_file": "root.pem",
            "ssl_cert_file": "server.pem",
            "ssl_key_file": "server.key",
        }
        options = {
            "ssl": "on",
            "port": self.port,
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
        }
        settings = {**options, **{name: self.folder / file for name, file in files.items()}}
        arguments = [
            argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")
        ]
        command: list[str | Path] = [DEBIAN / "postgres", "-D", data, *arguments]
        return subprocess.Popen(
            command,
            stderr=subprocess.DEVNULL,
            cwd="/",
            user=self._account,
            group=self._account,
            extra_groups=self._groups,
        )

    def _run(self, *command: str | Path) -> None:
        subprocess.run(
            command,
            check=True,
            capture_output=True,
            cwd="/",
            timeout=60,
            user=self._account,
            group=self._account,
            extra_groups=self._groups,
        )


@pytest.mark.skipif(
    not DEBIAN.is_dir(),
    reason="PostgreSQL 15 of Debian is not installed, and the embedded server has no TLS",
)
async def test_a_real_server_with_tls_is_believed_and_believes_a_certificate() -> None:
    authority = trustme.CA()
    with tempfile.TemporaryDirectory() as folder:
        server = Debian(Path(folder), authority)
        client = authority.issue_cert(common_name="recollect")
        client.cert_chain_pems[0].write_to_path(f"{folder}/client.pem")
        client.private_key_pem.write_to_path(f"{folder}/client.key")
        trustme.CA().cert_pem.write_to_path(f"{folder}/stranger.pem")
        process = server.start()
        try:
            await certify(folder, server.port)
        finally:
            process.terminate()
            process.wait(20)


async def certify(folder: str, port: int) -> None:
    identity = f"sslcert={folder}/client.pem&sslkey={folder}/client.key"
    root = f"sslmode=verify-full&sslrootcert={folder}/root.pem"
    base = f"postgresql://recollect@127.0.0.1:{port}/postgres"
    assert await encrypted(f"{base}?{root}&{identity}")
    # The default for a local host: TLS where there is TLS.
    assert await encrypted(f"postgresql://recollect@127.0.0.1:{port}/template1")
    for refused in (
        f"{base}?{root}",
        f"{base}?{root}&{identity}".replace("root.pem", "stranger.pem"),
        f"{base}?{root}&{identity}".replace("recollect@", "other@"),
        f"{base}?sslmode=disable",
    ):
        with pytest.raises(errors.AccessDenied):
            await encrypted(refused)


async def encrypted(url: str) -> bool:
    settings = Settings(url=url, connect_deadline=20)
    engine = create_engine(settings)
    try:
        await connect_with_retry(engine, settings)
        async with engine.connect() as connection:
            return bool(
                (
                    await connection.execute(
                        text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                    )
                ).scalar_one()
            )
    finally:
        await engine.dispose()


@asynccontextmanager
async def refusing(*fields: str) -> AsyncIterator[int]:
    """Lend the port of a server that answers every connection with an error of these fields."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
        content = b"".join(field.encode() + b"\0" for field in ("SFATAL", *fields)) + b"\0"
        writer.write(b"E" + (len(content) + 4).to_bytes(4) + content)
        await writer.drain()

    async with listening(refuse) as port:
        yield port


@pytest.mark.parametrize(
    ("fields", "pooler", "expected"),
    [
        (("C08P01", "Munsupported startup parameter: jit"), "none", errors.ConfigurationError),
        (("C08P01", "Mno more connections allowed"), "pgbouncer", errors.DatabaseUnavailable),
        (("C08P01", "Mbad", "RProcessStartupPacket"), "none", errors.DatabaseUnavailable),
    ],
)
async def test_a_pooler_that_the_settings_do_not_name_is_a_wrong_setting(
    fields: tuple[str, ...], pooler: str, expected: type[errors.RecollectError]
) -> None:
    async with refusing(*fields) as port:
        settings = {"host": "127.0.0.1", "port": port, "sslmode": "disable", "pooler": pooler}
        with pytest.raises(expected) as raised:
            await Hosts(Settings(**settings, user="u", password=SECRET))()
    if isinstance(raised.value, errors.ConfigurationError):
        assert raised.value.setting == "pooler"
