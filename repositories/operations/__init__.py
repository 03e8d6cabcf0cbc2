"""Tasks of an operator: health, maintenance, loads, tenants, roles and row-level security."""

from repositories.operations.distribution import Distribution, distribute
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
from repositories.operations.vector_indexes import (
    VectorIndexHealth,
    examine_vector_indexes,
    rebuild_index,
    vacuum_tables,
)
from repositories.sql.roles import Roles

__all__ = [
    "BuildProgress",
    "Distribution",
    "Maintenance",
    "Roles",
    "TenantFigures",
    "VectorIndexHealth",
    "disable_row_level_security",
    "distribute",
    "drop_before",
    "enable_row_level_security",
    "examine_vector_indexes",
    "initial_load",
    "isolate_tenant",
    "maintain",
    "rebuild_index",
    "release_tenant",
    "set_up_roles",
    "tenants",
    "vacuum_tables",
]
