"""Roles with least rights.

One that migrates, one that writes and reads rows, one that reads them.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64encode
from functools import partial
from hashlib import pbkdf2_hmac, sha256
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from domain.errors import ConfigurationError
from repositories.migrations.environment import VERSION_TABLE
from repositories.migrations.session import DEADLINE, migration_session
from repositories.sql import roles as statements
from repositories.sql.roles import Roles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from pydantic import SecretStr
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

_NAME: Final = re.compile(r"(?!pg_)[a-z_][a-z0-9_]{0,62}")
_PASSWORD: Final = re.compile(r"[!-~]{8,200}")
_ITERATIONS: Final = 4096
"""PostgreSQL's own number."""


async def set_up_roles(
    engine: AsyncEngine,
    roles: Roles = Roles(),
    passwords: Mapping[str, SecretStr] | None = None,
    *,
    deadline: timedelta = DEADLINE,
) -> list[str]:
    """Have the roles in place, with what each needs and nothing more, and return those that were
    created; doing it again is fine.

    The migrator becomes the owner of every table. `passwords` are by what a role is for, as in
    `Roles.names`; a role without one keeps what it has, and a new one cannot log in by password.
    The server is sent verifiers, never a password. It takes a superuser or, with CREATEROLE, the
    owner of database and tables.

    Raises:
        ConfigurationError: a name or a password that is not fit, or a role that exists and may do
            more than one of these should.
        MigrationFailed: a statement was refused, or a lock was not to be had.
        DatabaseFailure: no connection.
    """
    given = {} if passwords is None else passwords
    _require_fit(roles, given)
    verifiers = {
        roles.names()[purpose]: scram_verifier(secret.get_secret_value())
        for purpose, secret in given.items()
    }
    async with migration_session(engine, deadline) as session:
        return await session.run(partial(_set_up, roles, verifiers), doing="setting up roles")


def scram_verifier(password: str) -> str:
    """Return what PostgreSQL keeps of a password (RFC 5802, RFC 7677).

    It can be checked against, and not be logged in with.
    """
    salt = os.urandom(16)
    salted = pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored = sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ITERATIONS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(value: bytes) -> str:
    return b64encode(value).decode("ascii")


def _require_fit(roles: Roles, passwords: Mapping[str, SecretStr]) -> None:
    names = roles.names()
    for purpose, name in names.items():
        if not _NAME.fullmatch(name):
            raise ConfigurationError(
                f"the name of the {purpose} must be 1 to 63 lower-case letters, digits and underscores",
                setting=purpose,
            )
    if len(set(names.values())) < len(names):
        raise ConfigurationError("each role needs a name of its own", setting="roles")
    for purpose, secret in passwords.items():
        if purpose not in names:
            raise ConfigurationError(
                "a password is for the migrator, the application or the reader", setting="passwords"
            )
        # What is not ASCII would have to be normalised as every client does.
        if not _PASSWORD.fullmatch(secret.get_secret_value()):
            raise ConfigurationError(
                f"the password of the {purpose} must be 8 to 200 ASCII characters without spaces",
                setting=f"{purpose}_password",
            )


def _set_up(roles: Roles, verifiers: Mapping[str, str], connection: Connection) -> list[str]:
    names = list(roles.names().values())
    existing = {
        row["role"]: row["mighty"]
        for row in connection.execute(statements.ATTRIBUTES, {"roles": names}).mappings()
    }
    for role, mighty in existing.items():
        if mighty:
            raise ConfigurationError(
                f"the role {role} exists and may do more than it should: take it away, or name another one"
            )
    created = [role for role in names if role not in existing]
    _execute(connection, *map(statements.create_role, created))
    _execute(
        connection,
        *(statements.set_password(role, verifier) for role, verifier in verifiers.items()),
    )
    place = connection.execute(statements.PLACE).mappings().one()
    if not place["superuser"]:
        # Who is no superuser gives a table away, and speaks of what a role will create, only as a
        # member of it.
        _execute(connection, f"GRANT {roles.migrator} TO {place['me']}")
    _execute(connection, *statements.on_database(roles, place["database"], place["schema"]))
    found = connection.execute(statements.TABLES).mappings().all()
    versions = connection.scalar(text("SELECT to_regclass(:name)::text"), {"name": VERSION_TABLE})
    _execute(
        connection,
        *statements.give_to(
            roles.migrator, [row["table"] for row in found if row["owner"] != roles.migrator]
        ),
    )
    for row in found:
        _execute(connection, *statements.on_table(roles, row["table"]))
    if versions is not None:
        _execute(
            connection,
            *statements.give_to(roles.migrator, [versions]),
            *statements.on_version_table(roles, versions),
        )
    return created


def _execute(connection: Connection, *statements: str) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)
