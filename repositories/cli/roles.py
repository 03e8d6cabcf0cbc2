"""`recollect db roles`.

Roles with least rights, their passwords from the environment or made here.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from typing import Annotated

import typer
from pydantic import SecretStr

from repositories import operations
from repositories.cli import targets as places
from repositories.cli.output import note
from repositories.cli.targets import DATA_DIR, DataDir
from repositories.operations import Roles
from repositories.postgres.settings import PREFIX

_DEFAULT = Roles()

Migrator = Annotated[
    str, typer.Option("--migrator", help="Owns the tables and changes the schema.")
]
Application = Annotated[str, typer.Option("--application", help="Reads and writes rows.")]
Reader = Annotated[str, typer.Option("--reader", help="Reads rows.")]
Generate = Annotated[
    bool,
    typer.Option(
        "--generate-passwords",
        help="Make and print a password for each role that the environment has none for.",
    ),
]


def roles(
    migrator: Migrator = _DEFAULT.migrator,
    application: Application = _DEFAULT.application,
    reader: Reader = _DEFAULT.reader,
    generate: Generate = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Have roles with least rights in place; run it as a superuser, or as an owner with CREATEROLE.

    Passwords are those of RECOLLECT_MIGRATOR_PASSWORD, RECOLLECT_APPLICATION_PASSWORD and
    RECOLLECT_READER_PASSWORD; a role without one keeps the password it has.
    """
    wanted = Roles(migrator=migrator, application=application, reader=reader)
    variables = {purpose: f"{PREFIX}{purpose}_PASSWORD".upper() for purpose in wanted.names()}
    given = {
        purpose: SecretStr(os.environ[variable])
        for purpose, variable in variables.items()
        if os.environ.get(variable)
    }
    made = {
        purpose: SecretStr(secrets.token_urlsafe(24))
        for purpose in wanted.names()
        if generate and purpose not in given
    }
    with places.reach(data_dir) as place:
        created = asyncio.run(_set_up(place, wanted, {**given, **made}))
        note(
            f"{place.kind}: created {', '.join(created)}"
            if created
            else f"{place.kind}: the roles were there"
        )
    for purpose, password in made.items():
        typer.echo(f"{variables[purpose]}={shlex.quote(password.get_secret_value())}")


async def _set_up(place: places.Place, wanted: Roles, passwords: dict[str, SecretStr]) -> list[str]:
    async with places.connected(place.settings.for_migrations()) as engine:
        return await operations.set_up_roles(engine, wanted, passwords)
