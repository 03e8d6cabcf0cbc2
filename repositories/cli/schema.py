"""`recollect db status`, `migrate`, `rollback`, `check`, `reset` and `revision`."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Annotated, Final

import typer

from domain.errors import ConfigurationError
from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url, Yes
from repositories.cli.output import confirm_deletion, log_messages, note, result, show

MIGRATIONS: Final = "recollect.migrations"
"""The logger of the steps of migrations."""

Temporary = Annotated[
    bool,
    typer.Option("--embedded", help="Migrate an empty, temporary embedded server and check that."),
]
Message = Annotated[str, typer.Option("--message", "-m", help="Description of the change.")]
UpTo = Annotated[str, typer.Argument(help="Revision to reach.")]
DownTo = Annotated[
    str, typer.Argument(help="Revision to return to; -1 undoes the newest one, base undoes all.")
]


def status(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Show the database and its problems.

    The exit code is 1 if there is a problem.
    """
    from repositories.cli.health import health_figures, health_json, health_of_target
    from repositories.cli.tables import figures_table

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        health = asyncio.run(health_of_target(target.settings))
    if as_json:
        result("", health_json(target, health), as_json=True)
    else:
        show(figures_table("Database", health_figures(target, health)))
        for problem in health.problems:
            typer.echo(f"problem: {problem.what}; {problem.remedy}")
    if not health.healthy:
        raise typer.Exit(1)


def migrate(
    revision: UpTo = "head",
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Migrate to a revision, by default the newest.

    If the database has rows, the command shows the disk space that new indexes need, and each step.
    """
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        # The steps of an empty database take no time.
        shown = asyncio.run(tasks.may_hold_rows(target.settings))
        with log_messages(MIGRATIONS) if shown else nullcontext():
            reached = asyncio.run(tasks.migrate(target.settings, revision))
    result(
        f"{target.label} is at revision {reached}",
        {"database": target.label, "revision": reached},
        as_json=as_json,
    )


def rollback(
    revision: DownTo = "-1",
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Undo revisions, with their tables and rows.

    The command asks for confirmation if the database has rows, or if it drops all tables. It does
    not drop them while tables of your application refer to them: undo your revisions first.
    """
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        where = f"{target.label} ({target.settings.target})"
        if revision == tasks.BASE:
            confirm_deletion(f"everything in {where}", yes=yes)
        elif not yes and asyncio.run(tasks.may_hold_rows(target.settings)):
            confirm_deletion(
                f"everything that the revisions after {revision} added to {where}", yes=yes
            )
        reached = asyncio.run(tasks.rollback(target.settings, revision))
    result(
        f"{target.label} is {f'at revision {reached}' if reached else 'empty'}",
        {"database": target.label, "revision": reached},
        as_json=as_json,
    )


def check(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    embedded: Temporary = False,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Compare the schema with the entities.

    The command prints one line for each difference, and one with the result.
    The exit code is 1 if there is one.
    """
    from repositories.cli import tasks

    if embedded and url is not None:
        raise ConfigurationError("--embedded and --url name two databases; pass one of them")
    if embedded:
        label = "a temporary embedded server"
        with targets.temporary() as settings:
            differences = asyncio.run(tasks.check_migrated(settings))
    else:
        with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
            label = target.label
            differences = asyncio.run(tasks.check(target.settings))
    count = f"{len(differences)} difference{'s' if len(differences) > 1 else ''}"
    result(
        "\n".join([*differences, f"{label}: {count} from the entities"])
        if differences
        else f"{label}: the schema equals the entities",
        {"database": label, "differences": differences},
        as_json=as_json,
    )
    if differences:
        if embedded:
            note("an entity changed without a revision: `make revision` writes one")
        raise typer.Exit(1)


def reset(
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete everything, and migrate again.

    Tables of your application stay. It is refused while they refer to the library's tables.
    """
    from repositories.cli import tasks

    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        confirm_deletion(f"everything in {target.label} ({target.settings.target})", yes=yes)
        asyncio.run(tasks.rollback(target.settings, tasks.BASE))
        reached = asyncio.run(tasks.migrate(target.settings, "head"))
    result(
        f"{target.label} is empty, at revision {reached}",
        {"database": target.label, "revision": reached},
        as_json=as_json,
    )


def revision(message: Message, as_json: Json = False) -> None:
    """Write a revision for changed entities.

    The command compares the schema with the entities, and prints the path of the revision.
    The file belongs to the source of Recollect, so the command needs a checkout.
    """
    if targets.checkout() is None:
        raise ConfigurationError(
            "`db revision` writes into the source of Recollect, and this is an installed package: "
            "run `make revision` in a checkout; for tables of your own, use your own Alembic"
        )
    from repositories.cli import tasks

    with targets.temporary() as settings:
        path, differs = asyncio.run(tasks.revise(settings, message))
    result(str(path), {"path": str(path)}, as_json=as_json)
    if not differs:
        note(
            "the schema equals the entities, so this revision changes nothing:"
            " write its statements, or delete it"
        )
