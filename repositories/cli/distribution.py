"""`recollect db distribute`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url
from repositories.cli.output import result, show

if TYPE_CHECKING:
    from rich.table import Table

    from repositories.operations import Distribution

Shards = Annotated[
    int | None,
    typer.Option(
        "--shards",
        help="Shards of each table: four to eight for each CPU core of all nodes.",
        show_default="32",
        min=1,
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Check the requirements, and show what would be done.")
]


def distribute(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    shards: Shards = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Distribute the tables over the nodes of Citus, by tenant, with their rows.

    Connect to the coordinator. Writers wait until all tables are distributed. You can interrupt the
    command and repeat it. Restart your programs afterwards.
    """
    from rich.console import Console

    from repositories.cli import tasks
    from repositories.cli.progress import progress_bars
    from repositories.operations.distribution import SHARD_COUNT

    with (
        targets.reach(data_dir, url=url, deadline=connect_deadline) as target,
        progress_bars(Console(stderr=True)) as bars,
    ):
        bar = bars.add_task("tables", total=None)

        def on_table(name: str, done: int, total: int) -> None:
            bars.update(bar, description=name, completed=done, total=total)

        distribution = asyncio.run(
            tasks.distribute(
                target.settings,
                shard_count=SHARD_COUNT if shards is None else shards,
                dry_run=dry_run,
                on_table=on_table,
            )
        )
    if not as_json:
        show(_table(target.label, distribution))
    result(
        "\n".join(_sentences(distribution)),
        {"database": target.label, **asdict(distribution)},
        as_json=as_json,
    )


def _table(label: str, distribution: Distribution) -> Table:
    from rich.table import Table

    table = Table(title=label, title_justify="left")
    for heading in ("table", "rows", "state"):
        table.add_column(heading, no_wrap=True)
    now = "to be distributed" if distribution.dry_run else "distributed now"
    for one in distribution.tables:
        table.add_row(
            one.name,
            "on every node" if one.is_reference else "by tenant",
            now if one.changed else "distributed before",
        )
    return table


def _sentences(distribution: Distribution) -> list[str]:
    shards = f", {distribution.shards} shards of each table" if distribution.shards else ""
    stores = [str(node) for node in distribution.nodes if node.stores]
    sentences = [f"nodes with shards: {', '.join(stores)}{shards}"]
    if distribution.dry_run:
        return [*sentences, "nothing was changed: run the command without --dry-run"]
    sentences += [
        f"the role may not do this; let the owner of the database do it: {statement}"
        for statement in distribution.refused
    ]
    return sentences
