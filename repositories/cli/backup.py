"""`recollect db dump` and `recollect db restore`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from domain import ConfigurationError
from repositories import backup
from repositories.cli import targets as places
from repositories.cli.targets import DATA_DIR, DataDir

if TYPE_CHECKING:
    from repositories.postgres.settings import Settings

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", help="Dump this tenant's rows alone.", show_default="all tenants"),
]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace", help="Delete the rows that are there; of a tenant's backup, the tenant's."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def dump(file: File, tenant: Tenant = None, data_dir: DataDir = DATA_DIR) -> None:
    """Write every row to a file, as they are at one moment, while others go on."""
    file = file.expanduser()
    with places.reach(data_dir) as place:
        written = asyncio.run(_dump(place.settings, file, tenant))
    typer.echo(
        f"{file} holds {_told(written)} of {place.kind}, {file.stat().st_size / 2**20:,.1f} MiB"
    )


def restore(
    file: File, replace: Replace = False, data_dir: DataDir = DATA_DIR, yes: Yes = False
) -> None:
    """Write a backup into a database without rows: all of it, or nothing."""
    with places.reach(data_dir) as place:
        if replace and not yes:
            _confirm(place, file)
        written = asyncio.run(_restore(place.settings, file.expanduser(), replace=replace))
        typer.echo(f"restored {_told(written)} into {place.kind}")


def _confirm(place: places.Place, file: Path) -> None:
    what = f"rows in {place.kind} ({place.settings.url}) for those in {file}"
    if not sys.stdin.isatty():
        raise ConfigurationError(f"this deletes {what}: say --yes")
    typer.confirm(f"Delete {what}?", abort=True, err=True)


def _told(written: backup.Manifest) -> str:
    whose = "" if written.tenant is None else f" of the tenant {written.tenant}"
    return f"{written.rows:,} rows{whose} at revision {written.revision}"


async def _dump(settings: Settings, file: Path, tenant: str | None) -> backup.Manifest:
    async with places.connected(settings.for_migrations()) as engine:
        return await backup.dump(engine, file, tenant=tenant)


async def _restore(settings: Settings, file: Path, *, replace: bool) -> backup.Manifest:
    async with places.connected(settings.for_migrations()) as engine:
        return await backup.restore(engine, file, replace=replace)
