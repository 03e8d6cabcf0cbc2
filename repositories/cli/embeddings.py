"""`recollect db embeddings`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url, Yes
from repositories.cli.output import confirm, result

Clear = Annotated[
    bool,
    typer.Option(
        "--clear",
        help="Set provider and model to unspecified, so that a program can record another model.",
    ),
]


def embeddings(
    clear: Clear = False,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show or clear the record of the embedding model, which all tenants share.

    Clear it after all embeddings are deleted or computed again. The embeddings stay as they are.
    """
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        if clear:
            confirm("this clears the record of the embedding model for all tenants", yes=yes)
        record = asyncio.run(tasks.embeddings(target.settings, clear=clear))
    described = (
        f"{record.provider} {record.model} with {record.dimensions:,} dimensions"
        if record.is_specified
        else f"an unspecified model with {record.dimensions:,} dimensions"
    )
    result(
        f"{target.label}: cleared; the record was {described}"
        if clear
        else f"{target.label} has embeddings of {described}",
        {
            "database": target.label,
            "provider": record.provider,
            "model": record.model,
            "dimensions": record.dimensions,
            "cleared": clear,
        },
        as_json=as_json,
    )
