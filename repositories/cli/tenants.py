"""`recollect db tenants`, `db tenants isolate` and `db tenants release`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Final

import typer

from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url
from repositories.cli.output import result, show
from repositories.cli.sanitizing import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from repositories.operations import TenantFigures

TENANT_CHARACTERS: Final = 100

Name = Annotated[str, typer.Argument(help="The tenant.", metavar="NAME")]
Limit = Annotated[int, typer.Option("--limit", help="Rows of the table to show.", min=1)]


def tenants(
    context: typer.Context,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the tenants by rows, bytes and the cost of a vector search, the most expensive first."""
    if context.invoked_subcommand is not None:
        options = {"url": url, "data_dir": data_dir, "connect_deadline": connect_deadline}
        defaults = {name: value for name, value in options.items() if value is not None}
        context.default_map = {context.invoked_subcommand: defaults | {"as_json": as_json}}
        return
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        figures = asyncio.run(tasks.tenants(target.settings))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in figures], indent=2))
    else:
        show(_table(target.label, figures, limit))


def isolate(
    name: Name,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Build an HNSW index for a large tenant while others read and write.

    On Citus, the tenant gets a shard of its own instead, and writers of its shard wait. You can
    interrupt the command and repeat it.
    """
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        built = asyncio.run(tasks.isolate_tenant(target.settings, name))
    sentence = f"built {', '.join(built)}" if built else "the tenant is isolated already"
    result(
        f"{target.label}: {sentence}",
        {"database": target.label, "tenant": name, "built": built},
        as_json=as_json,
    )


def release(
    name: Name,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Drop the HNSW index of a tenant while others read and write."""
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        dropped = asyncio.run(tasks.release_tenant(target.settings, name))
    sentence = f"dropped {', '.join(dropped)}" if dropped else "the tenant has no index of its own"
    result(
        f"{target.label}: {sentence}",
        {"database": target.label, "tenant": name, "dropped": dropped},
        as_json=as_json,
    )


def _table(label: str, figures: Sequence[TenantFigures], limit: int) -> Table:
    from rich.table import Table
    from rich.text import Text

    count = len({one.tenant for one in figures})
    table = Table(title=f"{label}: {count:,} tenants", title_justify="left")
    table.add_column("tenant", no_wrap=True)
    table.add_column("table", no_wrap=True)
    for heading in ("rows", "MB", "search ms", "with an index of its own", "own index"):
        table.add_column(heading, justify="right")
    for one in figures[:limit]:
        table.add_row(
            Text(shown(one.tenant, TENANT_CHARACTERS)),
            one.table,
            f"{one.rows:,}",
            f"{one.bytes / 1e6:,.1f}",
            f"{one.search_ms:,.1f}",
            f"{one.isolated_search_ms:,.1f}",
            "yes" if one.has_own_index else "no",
        )
    return table
