"""`recollect db dump` and `recollect db restore`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from domain.errors import ConfigurationError
from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url, Yes
from repositories.cli.output import confirm_deletion, result

if TYPE_CHECKING:
    from repositories.backup import Manifest

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", help="Dump only this tenant's rows.", show_default="all tenants"),
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the file if it exists.")]
Replace = Annotated[
    bool,
    typer.Option(
        "--replace",
        help="Delete the rows that the database has; for the backup of a tenant, that tenant's.",
    ),
]

MaxUnpacked = Annotated[
    int | None,
    typer.Option(
        "--max-unpacked-mb",
        min=1,
        help="Refuse a backup whose body unpacks to more megabytes.",
        show_default="200 times its size, at least 64",
    ),
]


def dump(
    file: File,
    tenant: Tenant = None,
    force: Force = False,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Write a backup.

    It has every row as of one moment; other programs continue to write.
    """
    from repositories.cli import tasks

    file = file.expanduser()
    if file.exists() and not force:
        raise ConfigurationError(f"{file} exists; pass --force to overwrite it")
    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        manifest = asyncio.run(tasks.dump(target.settings, file, tenant))
    size = file.stat().st_size
    result(
        f"{file} holds {_rows(manifest)} of {target.label}, {size / 2**20:,.1f} MiB",
        {"file": str(file), "bytes": size, **_figures(target, manifest)},
        as_json=as_json,
    )


def restore(
    file: File,
    replace: Replace = False,
    max_unpacked_mb: MaxUnpacked = None,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Restore a backup into a database without rows.

    The backup is restored completely or not at all.
    """
    from repositories.cli import tasks

    file = file.expanduser()
    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        if replace:
            confirm_deletion(f"the rows in {target.label} ({target.settings.target})", yes=yes)
        max_unpacked = None if max_unpacked_mb is None else max_unpacked_mb * 2**20
        manifest = asyncio.run(
            tasks.restore(target.settings, file, replace=replace, max_unpacked=max_unpacked)
        )
    result(
        f"restored {_rows(manifest)} into {target.label}",
        {"file": str(file), **_figures(target, manifest)},
        as_json=as_json,
    )


def _rows(manifest: Manifest) -> str:
    of_tenant = "" if manifest.tenant is None else f" of the tenant {manifest.tenant}"
    rows = "1 row" if manifest.rows == 1 else f"{manifest.rows:,} rows"
    return f"{rows}{of_tenant} at revision {manifest.revision}"


def _figures(target: targets.Target, manifest: Manifest) -> dict[str, Any]:
    return {
        "database": target.label,
        "rows": manifest.rows,
        "tenant": manifest.tenant,
        "revision": manifest.revision,
    }
