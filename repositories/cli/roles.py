"""`recollect db roles`: roles with the least rights that their purposes need."""

from __future__ import annotations

import asyncio
import os
import secrets
import shlex
from typing import Annotated, Final

import typer

from repositories.cli import targets
from repositories.cli.options import DATA_DIR, ConnectDeadline, DataDir, Json, Url
from repositories.cli.output import note, result

MIGRATOR: Final = "recollect_migrator"
APPLICATION: Final = "recollect_application"
READER: Final = "recollect_reader"

Migrator = Annotated[
    str, typer.Option("--migrator", help="Role that owns the tables and changes the schema.")
]
Application = Annotated[str, typer.Option("--application", help="Role that reads and writes rows.")]
Reader = Annotated[str, typer.Option("--reader", help="Role that reads rows.")]
Generate = Annotated[
    bool,
    typer.Option(
        "--generate-passwords",
        help="Generate and print a password for each role whose variable is not set.",
    ),
]


def roles(
    migrator: Migrator = MIGRATOR,
    application: Application = APPLICATION,
    reader: Reader = READER,
    generate: Generate = False,
    url: Url = None,
    data_dir: DataDir = DATA_DIR,
    connect_deadline: ConnectDeadline = None,
    as_json: Json = False,
) -> None:
    """Create roles with least rights. Run it as a superuser, or as an owner with CREATEROLE.

    Their passwords are RECOLLECT_MIGRATOR_PASSWORD, RECOLLECT_APPLICATION_PASSWORD and
    RECOLLECT_READER_PASSWORD. A role whose variable is not set keeps its password.
    """
    from pydantic import SecretStr

    from repositories.cli import tasks
    from repositories.operations import Roles
    from repositories.postgres.settings_sources import PREFIX

    names = Roles(migrator=migrator, application=application, reader=reader)
    variables = {purpose: f"{PREFIX}{purpose}_PASSWORD".upper() for purpose in names.names()}
    passwords = {
        purpose: SecretStr(os.environ[variable])
        for purpose, variable in variables.items()
        if os.environ.get(variable)
    }
    generated = {
        purpose: secrets.token_urlsafe(24)
        for purpose in variables
        if generate and purpose not in passwords
    }
    passwords |= {purpose: SecretStr(password) for purpose, password in generated.items()}
    with targets.reach(data_dir, url=url, deadline=connect_deadline) as target:
        created = asyncio.run(tasks.set_up_roles(target.settings, names, passwords))
    lines = {variables[purpose]: password for purpose, password in generated.items()}
    if as_json:
        figures = {"database": target.label, "created": created, "passwords": lines}
        result("", figures, as_json=True)
        return
    outcome = f"created {', '.join(created)}" if created else "the roles exist"
    note(f"{target.label}: {outcome}")
    for variable, password in lines.items():
        typer.echo(f"{variable}={shlex.quote(password)}")
