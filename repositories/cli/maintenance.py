"""`recollect db maintain`, `db rls enable` and `db rls disable`."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url
from repositories.cli.output import result

if TYPE_CHECKING:
    from repositories.operations import Maintenance

Ahead = Annotated[
    int | None,
    typer.Option("--ahead", help="Months to create after the current one.", min=0),
]
KeepDays = Annotated[
    int | None,
    typer.Option(
        "--keep-days",
        help="Drop the months that ended this many days ago.",
        show_default="drop none",
    ),
]
KeepOperationsDays = Annotated[
    int | None,
    typer.Option(
        "--keep-operations-days",
        help="Purge committed operations that are this many days old.",
        show_default="purge none",
    ),
]


KeepIndexes = Annotated[
    bool,
    typer.Option(
        "--no-indexes", help="Neither measure the recall of vector indexes nor rebuild any."
    ),
]


def maintain(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    ahead: Ahead = None,
    keep_days: KeepDays = None,
    keep_operations_days: KeepOperationsDays = None,
    no_indexes: KeepIndexes = False,
    as_json: Json = False,
) -> None:
    """Create the next months of telemetry, and delete old rows. Run it every month.

    It creates the partitions of the coming months, drops those that are too old, purges old
    committed operations, and builds an HNSW index for each large tenant. It measures the recall of
    the vector indexes, and rebuilds those that lost recall while others read and write.
    """
    from domain.values.timestamps import days_old
    from repositories.cli import tasks

    keep = None if keep_days is None else days_old(keep_days, "--keep-days")
    keep_operations = (
        None
        if keep_operations_days is None
        else days_old(keep_operations_days, "--keep-operations-days")
    )
    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        changes = asyncio.run(
            tasks.maintain(
                target.settings,
                ahead=ahead,
                keep=keep,
                keep_operations=keep_operations,
                rebuild_indexes=not no_indexes,
            )
        )
    result(
        f"{target.label}: {_sentence(changes)}",
        {"database": target.label, **asdict(changes)},
        as_json=as_json,
    )


def enable(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Enable row-level security.

    It covers every table that has a tenant, and its partitions.
    """
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        tables = asyncio.run(tasks.enable_row_level_security(target.settings))
    result(
        f"{target.label}: row-level security is on, {len(tables)} tables changed",
        {"database": target.label, "row_level_security": True, "changed": tables},
        as_json=as_json,
    )


def disable(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Disable row-level security on every table."""
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        tables = asyncio.run(tasks.disable_row_level_security(target.settings))
    result(
        f"{target.label}: row-level security is off, {len(tables)} tables changed",
        {"database": target.label, "row_level_security": False, "changed": tables},
        as_json=as_json,
    )


def _sentence(changes: Maintenance) -> str:
    months, dropped = ", ".join(changes.created), ", ".join(changes.dropped)
    parts = {
        f"created {len(changes.created)} months of telemetry ({months})": changes.created,
        f"moved {changes.moved:,} events into them": changes.moved,
        f"dropped {len(changes.dropped)} ({dropped}) with about {changes.dropped_rows:,} events": (
            changes.dropped
        ),
        f"deleted {changes.deleted:,} old events from the default partition": changes.deleted,
        f"left {changes.postponed} months, which are too many, in the default partition": (
            changes.postponed
        ),
        f"purged {changes.operations:,} committed operations": changes.operations,
        f"rebuilt {', '.join(changes.rebuilt)}": changes.rebuilt,
        f"covered {', '.join(changes.covered)} by row-level security": changes.covered,
        f"built the indexes of large tenants ({', '.join(changes.indexed)})": changes.indexed,
    }
    return ", ".join(part for part, count in parts.items() if count) or "nothing to do"
