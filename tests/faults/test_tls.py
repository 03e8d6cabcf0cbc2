"""Attackers between client and server.

One says that it has no TLS, one has a certificate of its own, one has the name of another host.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import pytest

from domain.errors import AccessDenied, DatabaseUnavailable
from repositories.postgres.hosts import Hosts
from repositories.postgres.settings import Settings
from tests.unit.test_tls import Files, server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.conftest import Promises

HOST: Final = "db.example"


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(autouse=True)
def name_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that is not local as far as anyone can tell, and leads here."""
    real = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: real("127.0.0.1" if host == HOST else host, *rest, **more),
    )


async def is_trusted(context: ssl.SSLContext | None, **settings: Any) -> bool:
    """Return whether the client logs in to a server with this certificate, or without TLS.

    The server answers a login with "starting up".
    """
    async with server(context) as port:
        with pytest.raises((AccessDenied, DatabaseUnavailable)) as refused:
            await Hosts(
                Settings(host=HOST, port=port, password="canary", connect_timeout=5, **settings)
            )()
        return "starting" in str(refused.value)


async def test_by_default_a_host_elsewhere_has_to_prove_who_it_is(
    files: Files, promises: Promises
) -> None:
    attacks = {
        "says that it has no TLS": (None, files.root),
        "has a certificate of another authority": (files.server(HOST), files.other_root),
        "has the certificate of another host": (files.server("elsewhere.example"), files.root),
    }
    trusted = {
        name: await is_trusted(context, sslrootcert=root)
        for name, (context, root) in attacks.items()
    }
    assert trusted == dict.fromkeys(attacks, False)
    assert await is_trusted(files.server(HOST), sslrootcert=files.root), "the right server"
    options = {"sslrootcert": files.root, "sslcert": files.cert, "sslkey": files.key}
    assert await is_trusted(files.server(HOST, client_certificate=True), **options), (
        "a server that asks for a certificate"
    )

    without_checks = [
        await is_trusted(context, sslmode="require", insecure=True)
        for context, _ in attacks.values()
    ]
    assert without_checks.count(True) == 2
    promises(
        "TLS cannot be stripped or spoofed",
        f"{len(trusted)} of {len(attacks)} attackers refused with the default settings, the right "
        "server trusted",
        control=f"{without_checks.count(True)} of {len(attacks)} accepted with sslmode=require and "
        "insecure=True",
    )
