"""Somebody in between.

A server that says it has no TLS, one with a certificate of its own, one with another's name.
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


async def meeting(context: ssl.SSLContext | None, **settings: Any) -> type[BaseException]:
    """Connect to a server with this certificate, or without TLS; return what it comes to.

    The right one says it is starting up.
    """
    async with server(context) as port:
        with pytest.raises((AccessDenied, DatabaseUnavailable)) as refused:
            await Hosts(
                Settings(host=HOST, port=port, password="canary", connect_timeout=5, **settings)
            )()
        return refused.type


async def test_by_default_a_host_elsewhere_has_to_prove_who_it_is(
    files: Files, promises: Promises
) -> None:
    attacks = {
        "says that it has no TLS": (None, files.root),
        "has a certificate of another authority": (files.server(HOST), files.other_root),
        "has the certificate of another host": (files.server("elsewhere.example"), files.root),
    }
    met = {
        name: await meeting(context, sslrootcert=root) for name, (context, root) in attacks.items()
    }
    assert met == dict.fromkeys(attacks, AccessDenied)
    assert await meeting(files.server(HOST), sslrootcert=files.root) is DatabaseUnavailable, (
        "the right one is believed"
    )
    options = {"sslrootcert": files.root, "sslcert": files.cert, "sslkey": files.key}
    assert (
        await meeting(files.server(HOST, client_certificate=True), **options) is DatabaseUnavailable
    ), "and believes a certificate"

    careless = [
        await meeting(context, sslmode="require", insecure=True) for context, _ in attacks.values()
    ]
    believed = careless.count(DatabaseUnavailable)
    assert believed == 2
    promises(
        "TLS cannot be stripped or spoofed",
        f"{len(met)} of {len(attacks)} impostors refused with the default settings, the right "
        "server believed",
        control=f"{believed} of {len(attacks)} believed with sslmode=require and insecure=True",
    )
