"""`recollect db mark-stale`, `db purge` and `db delete-review`: changes of any number of rows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from domain.errors import ConfigurationError
from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url
from repositories.cli.output import result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from domain.ports import Progress
    from repositories import Database

Tenant = Annotated[
    str | None,
    typer.Option(
        "--tenant", help="Change this tenant's rows.", show_default="the settings' tenant"
    ),
]
TelemetryDays = Annotated[
    float | None,
    typer.Option(
        "--telemetry-days",
        help="Delete rows of the four telemetry tables that are this many days old.",
        show_default="none",
    ),
]
AuthorDays = Annotated[
    float | None,
    typer.Option(
        "--author-days",
        help="Delete authors that were cached this many days ago.",
        show_default="none",
    ),
]
Runs = Annotated[
    bool,
    typer.Option(
        "--runs",
        help="Delete runs completed 30 days ago, superseded 7 days ago, or abandoned an hour ago.",
    ),
]
StaleMemories = Annotated[bool, typer.Option("--stale-memories", help="Delete stale memories.")]


def mark_stale(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The current model.")],
    tenant: Tenant = None,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Mark the memories of every other embedding model stale.

    It commits short units of work. After an interruption, run it again.
    """
    if not model.strip():
        raise ConfigurationError(
            "MODEL is empty, which would mark every memory: name the current model", setting="MODEL"
        )

    async def work(database: Database, progress: Progress) -> dict[str, Any]:
        marked = await database.mark_memories_stale(model, tenant=tenant, progress=progress)
        return {"marked": marked}

    _run(work, url=url, data_dir=data_dir, deadline=connect_deadline, as_json=as_json)


def purge(
    telemetry_days: TelemetryDays = None,
    author_days: AuthorDays = None,
    runs: Runs = False,
    stale_memories: StaleMemories = False,
    tenant: Tenant = None,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Delete old rows of one tenant.

    It commits short units of work. After an interruption, run it again.
    """
    from domain.values.timestamps import days_old

    if telemetry_days is None and author_days is None and not runs and not stale_memories:
        raise ConfigurationError(
            "nothing to delete: pass --telemetry-days, --author-days, --runs or --stale-memories"
        )

    async def work(database: Database, progress: Progress) -> dict[str, Any]:
        options: dict[str, Any] = {"tenant": tenant, "progress": progress}
        deleted: dict[str, Any] = {}
        if telemetry_days is not None:
            age = days_old(telemetry_days, "--telemetry-days")
            deleted["telemetry"] = await database.purge_telemetry(older_than=age, **options)
        if author_days is not None:
            days_old(author_days, "--author-days")
            deleted["authors"] = await database.purge_authors(days=author_days, **options)
        if runs:
            deleted["runs"] = await database.purge_runs(**options)
        if stale_memories:
            deleted["memories"] = await database.delete_stale_memories(**options)
        return deleted

    _run(work, url=url, data_dir=data_dir, deadline=connect_deadline, as_json=as_json)


def delete_review(
    id: Annotated[UUID, typer.Argument(metavar="ID", help="The id of the review.")],
    tenant: Tenant = None,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Delete a review with its findings, suppressions and reactions.

    It commits short units of work. After an interruption, run it again.
    """

    async def work(database: Database, progress: Progress) -> dict[str, Any]:
        return {"reviews": int(await database.delete_review(id, tenant=tenant, progress=progress))}

    _run(work, url=url, data_dir=data_dir, deadline=connect_deadline, as_json=as_json)


def _run(
    work: Callable[[Database, Progress], Awaitable[dict[str, Any]]],
    *,
    url: str | None,
    data_dir: Path,
    deadline: float | None,
    as_json: bool,
) -> None:
    from rich.console import Console

    from repositories import Database
    from repositories.cli.progress import progress_bars

    async def changed(settings: Any, progress: Progress) -> dict[str, Any]:
        async with Database(settings) as database:
            return await work(database, progress)

    with targets.reach(data_dir, url=url, deadline=deadline) as target:
        with progress_bars(Console(stderr=True)) as bars:
            bar = bars.add_task("rows", total=None)
            rows = asyncio.run(
                changed(target.settings, lambda count: bars.update(bar, completed=count))
            )
        sentence = ", ".join(f"{count:,} {name}" for name, count in rows.items())
        result(f"{target.label}: {sentence}", {"database": target.label, **rows}, as_json=as_json)
