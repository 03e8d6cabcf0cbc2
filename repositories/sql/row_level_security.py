"""Row-level security: the policy that restricts a transaction to one tenant, and its status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import ARRAY, Text, bindparam, text

from domain.schema.registries import tenant_table_names

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTING: Final = "recollect.tenant"
"""The setting that contains a transaction's tenant.

It is NULL if it was never set, and empty after a transaction that set it. Neither is a tenant.
"""

POLICY: Final = "tenant_isolation"

_CONDITION: Final = f"(tenant = NULLIF(current_setting('{SETTING}', true), ''))"
_CONDITION_IN_CATALOG: Final = (
    f"(tenant = NULLIF(current_setting('{SETTING}'::text, true), ''::text))"
)

POLICY_STATUS: Final = text("""
WITH RECURSIVE ours AS (
    SELECT oid FROM pg_catalog.pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relname = ANY(:tables)
      AND relkind IN ('r', 'p')
    UNION ALL
    SELECT inhrelid FROM pg_catalog.pg_inherits JOIN ours ON inhparent = ours.oid
)
SELECT c.oid::regclass::text AS "table", current_user::text AS role,
       EXISTS (
           SELECT FROM pg_catalog.pg_policy WHERE polrelid = c.oid AND polname = :policy
       ) AS begun,
       c.relrowsecurity AND c.relforcerowsecurity AND coalesce((
           SELECT bool_and(polname = :policy AND polcmd = '*' AND polroles = '{0}'
                           AND pg_get_expr(polqual, polrelid) = :expression
                           AND pg_get_expr(polwithcheck, polrelid) = :expression)
           FROM pg_catalog.pg_policy WHERE polrelid = c.oid AND polpermissive), false) AS covered,
       row_security_active(c.oid) AS active,
       ARRAY(SELECT DISTINCT v.oid::regclass::text
             FROM pg_catalog.pg_depend d
             JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid
             JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
             WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
               AND d.refobjid = c.oid AND v.oid <> c.oid
               AND NOT coalesce((SELECT option_value::bool FROM pg_options_to_table(v.reloptions)
                                 WHERE option_name = 'security_invoker'), false)
             ORDER BY 1) AS views
FROM ours JOIN pg_catalog.pg_class c USING (oid) ORDER BY 1
""").bindparams(
    bindparam("tables", callable_=tenant_table_names, type_=ARRAY(Text)),
    bindparam("policy", POLICY),
    bindparam("expression", _CONDITION_IN_CATALOG),
)
"""Select a row for each table that has tenants, and for each of its partitions.

`begun`: it has the policy. `covered`: row-level security is complete, and no other policy permits
more rows. `active`: it applies to the current role. `views`: the views that read the table with the
rights of their owner.
"""


def create_policy(table: str) -> Iterator[str]:
    """Yield the statements that restrict a transaction to its tenant's rows of the table.

    They replace an existing policy.
    """
    yield f"DROP POLICY IF EXISTS {POLICY} ON {table}"
    yield f"CREATE POLICY {POLICY} ON {table} USING {_CONDITION} WITH CHECK {_CONDITION}"
    # Without FORCE, the policy does not apply to the owner, which is often the application's role.
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY"


def no_force_row_level_security(table: str) -> str:
    """Return the statement that lets a migration see every tenant's rows."""
    return f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY"


def force_row_level_security(table: str) -> str:
    """Return the statement that reverts `no_force_row_level_security`."""
    return f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY"


def drop_policy(table: str) -> Iterator[str]:
    """Yield the statements that undo `create_policy`."""
    yield f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
    yield f"DROP POLICY IF EXISTS {POLICY} ON {table}"
