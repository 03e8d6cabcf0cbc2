"""Tasks of an operator: health, maintenance, loads, tenants, roles and row-level security."""

from repositories.operations.initial_load import BuildProgress, initial_load
from repositories.operations.maintenance import Maintenance, drop_before, maintain
from repositories.operations.roles import set_up_roles
from repositories.operations.row_level_security import (
    disable_row_level_security,
    enable_row_level_security,
)
from repositories.operations.tenants import (
    TenantFigures,
    isolate_tenant,
    release_tenant,
    tenants,
)
from repositories.sql.roles import Roles

__all__ = [
    "BuildProgress",
    "Maintenance",
    "Roles",
    "TenantFigures",
    "disable_row_level_security",
    "drop_before",
    "enable_row_level_security",
    "initial_load",
    "isolate_tenant",
    "maintain",
    "release_tenant",
    "set_up_roles",
    "tenants",
]
