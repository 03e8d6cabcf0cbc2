"""Statements that grant each role its privileges and revoke those of PUBLIC."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, bindparam, text

from domain import GlobalPattern
from domain.entities.knowledge import EmbeddingMetadata
from domain.schema.registries import table_names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WRITES: Final = "SELECT, INSERT, UPDATE, DELETE"

_RECORD: Final = str(EmbeddingMetadata.__tablename__)
_SHARED_PATTERNS: Final = GlobalPattern.__tablename__
_COUNTS: Final = "SELECT, INSERT, UPDATE"
"""Tenants share the patterns and the record, so only the owner of the tables deletes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The names of the three roles that log in.

    `migrator` owns the tables and changes the schema. `application` reads and writes rows. `reader`
    reads rows.
    """

    migrator: str = "recollect_migrator"
    application: str = "recollect_application"
    reader: str = "recollect_reader"

    def names(self) -> dict[str, str]:
        """Return the names of the roles by their purpose."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


ATTRIBUTES: Final = text("""
SELECT rolname AS role,
       rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication AS mighty
FROM pg_catalog.pg_roles WHERE rolname = ANY(:roles)
""").bindparams(bindparam("roles", type_=ARRAY(Text)))
"""Select the roles that exist, and whether one has an attribute that none of them should have.

Binds: `roles`.
"""

PLACE: Final = text("""
SELECT quote_ident(current_database()) AS database, quote_ident(current_schema()) AS schema,
       quote_ident(current_user) AS me,
       (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT rolsuper OR rolcreaterole FROM pg_catalog.pg_roles WHERE rolname = current_user)
           AS creates_roles
""")

TABLES: Final = text("""
WITH RECURSIVE ours AS (
    SELECT oid FROM pg_catalog.pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables)
      AND relkind IN ('r', 'p')
    UNION ALL
    SELECT inhrelid FROM pg_catalog.pg_inherits JOIN ours ON inhparent = ours.oid
)
SELECT c.oid::regclass::text AS "table", pg_get_userbyid(c.relowner)::text AS owner
FROM ours JOIN pg_catalog.pg_class c USING (oid) ORDER BY 1
""").bindparams(bindparam("tables", callable_=table_names, type_=ARRAY(Text)))
"""Select the tables of entities that exist, their partitions, and the owner of each."""


def create_role(role: str) -> str:
    """Return the statement that creates a role that can log in, without other attributes."""
    return f"CREATE ROLE {role} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION"


def set_password(role: str, verifier: str) -> str:
    """Return the statement that sets a password by its verifier.

    A statement with the password itself would write it to the server's log.
    """
    return f"ALTER ROLE {role} PASSWORD '{verifier}'"


def on_database(roles: Roles, database: str, schema: str) -> Iterator[str]:
    """Yield the privileges of each role on the database, the schema and future tables."""
    everyone = f"{roles.migrator}, {roles.application}, {roles.reader}"
    yield f"REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC"
    yield f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC"
    yield f"GRANT CONNECT ON DATABASE {database} TO {everyone}"
    # A bulk write uses a temporary table. The search_path names pg_temp last, so that a temporary
    # table does not hide one of the library's.
    yield f"GRANT TEMPORARY ON DATABASE {database} TO {roles.migrator}, {roles.application}"
    yield f"GRANT USAGE ON SCHEMA {schema} TO {everyone}"
    yield f"GRANT CREATE ON SCHEMA {schema} TO {roles.migrator}"
    later = f"ALTER DEFAULT PRIVILEGES FOR ROLE {roles.migrator} IN SCHEMA {schema}"
    yield f"{later} GRANT {_WRITES} ON TABLES TO {roles.application}"
    yield f"{later} GRANT SELECT ON TABLES TO {roles.reader}"


def on_table(roles: Roles, table: str) -> Iterator[str]:
    """Yield the privileges of each role on one table of entities, or one partition."""
    writes = _COUNTS if table in (_SHARED_PATTERNS, _RECORD) else _WRITES
    yield f"REVOKE ALL ON TABLE {table} FROM PUBLIC, {roles.application}, {roles.reader}"
    yield f"GRANT {writes} ON TABLE {table} TO {roles.application}"
    yield f"GRANT SELECT ON TABLE {table} TO {roles.reader}"


def on_version_table(roles: Roles, table: str) -> Iterator[str]:
    """Yield the privileges of each role on the table of revisions."""
    yield f"REVOKE ALL ON TABLE {table} FROM PUBLIC, {roles.application}, {roles.reader}"
    yield f"GRANT SELECT ON TABLE {table} TO {roles.application}, {roles.reader}"


def give_to(role: str, tables: Sequence[str]) -> Iterator[str]:
    """Yield the statements that make the role the owner of the tables."""
    yield from (f"ALTER TABLE {table} OWNER TO {role}" for table in tables)
