"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

DATA_DIR: Final = Path(".data")

DataDir = Annotated[
    Path, typer.Option("--data-dir", help="Folder of the embedded servers.", show_default=True)
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        metavar="URL",
        help="Use this database. Other users of this machine can see the arguments of a command: "
        "set DATABASE_URL for a URL with a password.",
        show_default="DATABASE_URL, or the server that `recollect db up` started",
    ),
]
ConnectDeadline = Annotated[
    float | None,
    typer.Option(
        "--connect-deadline",
        metavar="SECONDS",
        help="Stop trying to connect after this time.",
        show_default="RECOLLECT_CONNECT_DEADLINE, or 3",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]
