"""Tasks of an operator: health, maintenance, initial loads, roles and row-level security."""

from repositories.operations.initial_load import BuildProgress, first_load
from repositories.operations.maintenance import Maintenance, drop_before, maintain
from repositories.operations.roles import set_up_roles
from repositories.operations.row_level_security import expose, isolate
from repositories.sql.roles import Roles

__all__ = [
    "BuildProgress",
    "Maintenance",
    "Roles",
    "drop_before",
    "expose",
    "first_load",
    "isolate",
    "maintain",
    "set_up_roles",
]
