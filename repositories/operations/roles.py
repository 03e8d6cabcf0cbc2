"""Roles with minimal privileges: one migrates, one writes and reads rows, one reads rows."""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64encode
from functools import partial
from hashlib import pbkdf2_hmac, sha256
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from domain.errors import AccessDenied, ConfigurationError
from repositories.migrations.requirements import ALEMBIC_TABLE, VERSION_TABLE
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
"""PostgreSQL's default."""


async def set_up_roles(
    engine: AsyncEngine,
    roles: Roles = Roles(),
    passwords: Mapping[str, SecretStr] | None = None,
    *,
    deadline: timedelta = DEADLINE,
) -> list[str]:
    """Create the missing roles, and give each the privileges that it needs.

    The migrator becomes the owner of every table. You can repeat the call. Connect as a superuser,
    or as a role with CREATEROLE that owns the database and its tables.

    Args:
        engine: the engine.
        roles: the names of the roles.
        passwords: the passwords, by purpose as in `Roles.names`. A role without one keeps its
            password, and a new role without one cannot log in by password. The server receives
            verifiers, never a password.
        deadline: how long to wait for locks.

    Returns:
        The names of the roles that were created.

    Raises:
        ConfigurationError: a name or a password is invalid, or a role exists and has more
            privileges than it should.
        AccessDenied: this role cannot create roles.
        MigrationFailed: the server refused a statement, or waiting for a lock took too long.
        DatabaseFailure: the connection failed.
    """
    secrets = {} if passwords is None else passwords
    _require_fit(roles, secrets)
    verifiers = {
        roles.names()[purpose]: scram_verifier(secret.get_secret_value())
        for purpose, secret in secrets.items()
    }
    async with migration_session(engine, deadline) as session:
        return await session.run(partial(_set_up, roles, verifiers), doing="setting up roles")


def scram_verifier(password: str) -> str:
    """Return the SCRAM verifier that PostgreSQL stores for a password (RFC 5802, RFC 7677).

    The server can check a password with it; it does not suffice to log in.
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
                f"the name of the {purpose} must be 1 to 63 lower-case letters, digits and"
                " underscores",
                setting=purpose,
            )
    if len(set(names.values())) < len(names):
        raise ConfigurationError("each role needs a name of its own", setting="roles")
    for purpose, secret in passwords.items():
        if purpose not in names:
            raise ConfigurationError(
                "passwords has the keys migrator, application and reader", setting="passwords"
            )
        # A password that is not ASCII would need the normalisation that every client applies.
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
                f"the role {role} exists and has more rights than it should: revoke them, or choose"
                " another name"
            )
    created = [role for role in names if role not in existing]
    place = connection.execute(statements.PLACE).mappings().one()
    if (created or verifiers) and not place["creates_roles"]:
        raise AccessDenied(
            f"the role {place['me']} can neither create roles nor set their passwords: connect as a"
            " superuser, or as the owner of the database with CREATEROLE"
        )
    _execute(connection, *map(statements.create_role, created))
    _execute(
        connection,
        *(statements.set_password(role, verifier) for role, verifier in verifiers.items()),
    )
    if not place["superuser"]:
        # Without being a superuser, a role must be a member of another one to give it a table, and
        # to alter its default privileges.
        _execute(connection, f"GRANT {roles.migrator} TO {place['me']}")
    _execute(connection, *statements.on_database(roles, place["database"], place["schema"]))
    tables = connection.execute(statements.TABLES).mappings().all()
    _execute(
        connection,
        *statements.give_to(
            roles.migrator, [row["table"] for row in tables if row["owner"] != roles.migrator]
        ),
    )
    for row in tables:
        _execute(connection, *statements.on_table(roles, row["table"]))
    for name in (VERSION_TABLE, ALEMBIC_TABLE):
        versions = connection.scalar(text("SELECT to_regclass(:name)::text"), {"name": name})
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
