"""The schema's revisions, and what runs them: Alembic, configured in code, from wherever the package is installed.

A database is created with options that stay (`SchemaOptions`), brought to a revision (`migrate`), taken back (`rollback`), and
held against the entities (`check`). `revise` writes the next revision. `maintain` makes and drops the months of telemetry,
and purges the ledger.
`isolate` and `expose` switch row-level security on and off; `set_up_roles` has roles in place with least rights.
"""

from repositories.migrations.loading import BuildProgress, first_load
from repositories.migrations.maintenance import Maintenance, drop_before, maintain
from repositories.migrations.options import SchemaOptions
from repositories.migrations.revising import check, revise
from repositories.migrations.roles import set_up_roles
from repositories.migrations.row_security import expose, isolate
from repositories.migrations.runner import current, head, migrate, rollback
from repositories.statements.roles import Roles

__all__ = [
    "BuildProgress",
    "Maintenance",
    "Roles",
    "SchemaOptions",
    "check",
    "current",
    "drop_before",
    "expose",
    "first_load",
    "head",
    "isolate",
    "maintain",
    "migrate",
    "revise",
    "rollback",
    "set_up_roles",
]
