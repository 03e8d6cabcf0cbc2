"""An embedded server that root started refuses another user of the machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.embedded.support import TRESPASS, as_root, open_folder, run_as, start

if TYPE_CHECKING:
    from repositories.embedded import EmbeddedServer
    from tests.faults.conftest import Effort, Promises

PROMISE = "The embedded server is private"


def attempts(server: EmbeddedServer, folder: Path) -> list[str]:
    """Return what another user gets from the socket, the folder and the password file."""
    socket = server.socket_dir / f".s.PGSQL.{server.port}"
    return run_as("nobody", TRESPASS, socket, folder, folder / "credentials.json").stdout.split()


@as_root
def test_no_other_user_of_the_machine_gets_in(effort: Effort, promises: Promises) -> None:
    tried: list[str] = []
    opened: list[str] = []
    for depth in range(1, 1 + effort.times(1, 8), 7):
        with open_folder() as base:
            folder = Path(base, *["long-folder-name-" * 2] * (depth - 1), "data")
            with start(folder) as server:
                tried += attempts(server, folder)
                mode = server.socket_dir.stat().st_mode
                server.socket_dir.chmod(0o755)
                Path(server.socket_dir, f".s.PGSQL.{server.port}").chmod(0o777)
                opened += attempts(server, folder)[:1]
                server.socket_dir.chmod(mode)
    assert set(tried) == {"PermissionError"}
    assert set(opened) == {"succeeded"}
    promises(
        PROMISE,
        f"0 of {len(tried)} attempts of another user, at its socket, its folder and its "
        "passwords, under short and long paths",
        control=f"{len(opened)} of {len(opened)} sockets are reached once their folder is opened "
        "to everyone",
    )
