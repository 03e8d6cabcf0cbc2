"""TLS.

The modes, their checks, and that an attacker in between cannot downgrade a client.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trustme

from domain.errors import AccessDenied, ConfigurationError, DatabaseUnavailable
from repositories.postgres.hosts import Hosts
from repositories.postgres.settings import Settings
from repositories.postgres.tls import SslMode, tls_argument
from tests.listener import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class Files:
    """A certificate authority, its certificates, and an unrelated authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, self.stranger = trustme.CA(), trustme.CA()
        self.root = self.write("root.pem", self.authority.cert_pem)
        self.other_root = self.write("other.pem", self.stranger.cert_pem)
        identity = self.authority.issue_cert("agent@recollect.example")
        self.cert = self.write("agent.pem", identity.cert_chain_pems[0])
        self.key = self.write("agent.key", identity.private_key_pem)
        self.wrong_key = self.write(
            "wrong.key", self.stranger.issue_cert("x.example").private_key_pem
        )

    def write(self, name: str, blob: trustme.Blob) -> str:
        path = self.folder / name
        path.write_bytes(blob.bytes())
        return str(path)

    def server(self, name: str, *, client_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        if client_certificate:
            self.authority.configure_trust(context)
            context.verify_mode = ssl.CERT_REQUIRED
            context.maximum_version = (
                ssl.TLSVersion.TLSv1_2
            )  # so that the refusal is part of the handshake
        return context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


def built(
    mode: SslMode, *, root: str | None = None, cert: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    context = tls_argument(mode, rootcert=root, cert=cert, key=key)
    assert isinstance(context, ssl.SSLContext)
    return context


def test_each_mode_proves_what_libpq_says() -> None:
    assert tls_argument(SslMode.DISABLE, rootcert=None, cert=None, key=None) is False
    assert tls_argument(SslMode.ALLOW, rootcert=None, cert=None, key=None) == "allow"
    assert tls_argument(SslMode.PREFER, rootcert=None, cert=None, key=None) == "prefer"
    modes = {
        mode: built(mode) for mode in (SslMode.REQUIRE, SslMode.VERIFY_CA, SslMode.VERIFY_FULL)
    }
    proofs = {
        mode: (context.verify_mode, context.check_hostname) for mode, context in modes.items()
    }
    assert proofs == {
        SslMode.REQUIRE: (ssl.CERT_NONE, False),
        SslMode.VERIFY_CA: (ssl.CERT_REQUIRED, False),
        SslMode.VERIFY_FULL: (ssl.CERT_REQUIRED, True),
    }
    assert all(context.minimum_version >= ssl.TLSVersion.TLSv1_2 for context in modes.values())


def test_require_with_a_root_certificate_verifies_the_issuer(files: Files) -> None:
    context = built(SslMode.REQUIRE, root=files.root)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, False)


def test_only_the_named_root_certificate_is_trusted(files: Files) -> None:
    assert built(SslMode.VERIFY_FULL, root=files.root).cert_store_stats()["x509"] == 1


def test_a_missing_or_unreadable_file_is_named(files: Files) -> None:
    nowhere = str(files.folder / "nowhere.pem")
    key_alone = {"root": files.root, "cert": None, "key": files.key}
    refusals: list[tuple[str, dict[str, str | None]]] = [
        ("sslrootcert", {"root": nowhere}),
        ("sslrootcert", {"root": files.key}),
        ("sslcert", {"cert": nowhere, "key": files.key}),
        ("sslkey", {"cert": files.cert, "key": nowhere}),
        ("sslcert", {"cert": files.cert, "key": files.wrong_key}),
        ("sslcert", {"cert": files.cert}),
        ("sslkey", key_alone),
    ]
    for setting, options in refusals:
        with pytest.raises(ConfigurationError) as caught:
            built(SslMode.VERIFY_FULL, **options)
        assert caught.value.setting == setting


def test_an_encrypted_key_is_refused_instead_of_asking_the_terminal(
    files: Files, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        PrivateFormat,
        load_pem_private_key,
    )

    key = load_pem_private_key((files.folder / "agent.key").read_bytes(), None)
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"canary"))
    )
    with pytest.raises(ConfigurationError, match="or the key is encrypted"):
        built(SslMode.VERIFY_FULL, cert=files.cert, key=str(encrypted))


@pytest.mark.parametrize("mode", [SslMode.DISABLE, SslMode.ALLOW, SslMode.PREFER])
def test_a_certificate_that_would_not_be_checked_is_refused(files: Files, mode: SslMode) -> None:
    for setting, options in (
        ("sslrootcert", {"root": files.root}),
        ("sslcert", {"cert": files.cert, "key": files.key}),
    ):
        with pytest.raises(ConfigurationError, match=f"sslmode {mode} ignores it") as caught:
            built(mode, **options)
        assert caught.value.setting == setting


def test_the_systems_certificates_are_for_the_strictest_mode_alone() -> None:
    assert built(SslMode.VERIFY_FULL, root="system").check_hostname
    with pytest.raises(ConfigurationError, match="needs sslmode verify-full"):
        built(SslMode.VERIFY_CA, root="system")


@asynccontextmanager
async def server(context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """As much of a server as TLS needs.

    It answers the request for TLS, and then that it is starting up.
    """
    ends: list[asyncio.Event] = []

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        end = asyncio.Event()
        ends.append(end)
        try:
            assert await reader.readexactly(8) == struct.pack("!ll", 8, 80877103)
            writer.write(b"N" if context is None else b"S")
            if context is not None:
                await writer.start_tls(context)
                await reader.readexactly(struct.unpack("!l", await reader.readexactly(4))[0] - 4)
                fields = b"SFATAL\0VFATAL\0C57P03\0Mstarting up\0\0"
                writer.write(b"E" + struct.pack("!l", len(fields) + 4) + fields)
                await writer.drain()
            await reader.read()
        except (OSError, EOFError):
            pass
        finally:
            end.set()

    async with listening(converse) as port:
        yield port
        async with asyncio.timeout(5):
            for end in ends:
                await end.wait()


async def connect(port: int, **settings: object) -> None:
    await Hosts(Settings(host="127.0.0.1", port=port, connect_timeout=5, **settings))()


async def test_the_right_server_is_believed(files: Files) -> None:
    async with server(files.server("127.0.0.1")) as port:
        for mode in ("require", "verify-ca", "verify-full"):
            with pytest.raises(DatabaseUnavailable, match="starting"):
                await connect(port, sslmode=mode, sslrootcert=files.root)


async def test_a_certificate_of_another_host_is_refused(files: Files) -> None:
    async with server(files.server("elsewhere.example")) as port:
        with pytest.raises(AccessDenied, match=r"certificate is not trusted .*mismatch"):
            await connect(port, sslmode="verify-full", sslrootcert=files.root)
        with pytest.raises(DatabaseUnavailable, match="starting"):
            await connect(port, sslmode="verify-ca", sslrootcert=files.root)


async def test_a_certificate_of_another_authority_is_refused(files: Files) -> None:
    async with server(files.server("127.0.0.1")) as port:
        for mode in ("require", "verify-ca", "verify-full"):
            with pytest.raises(AccessDenied, match="certificate is not trusted"):
                await connect(port, sslmode=mode, sslrootcert=files.other_root)


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_an_attacker_cannot_downgrade_a_client_from_tls(mode: str) -> None:
    async with server(None) as port:
        with pytest.raises((AccessDenied, DatabaseUnavailable)) as refused:
            await connect(port, sslmode=mode)
    assert "starting" not in str(refused.value), "the client logged in without TLS"


async def test_a_client_certificate_is_shown_to_a_server_that_asks(files: Files) -> None:
    async with server(files.server("127.0.0.1", client_certificate=True)) as port:
        with pytest.raises(DatabaseUnavailable, match="starting"):
            await connect(
                port,
                sslmode="verify-full",
                sslrootcert=files.root,
                sslcert=files.cert,
                sslkey=files.key,
            )
        with pytest.raises(DatabaseUnavailable, match="connection reset"):
            await connect(port, sslmode="verify-full", sslrootcert=files.root)
