"""Index the lexemes of a tenant, so that keyword search does not read those of other tenants.

Each index is built next to the present one while others write, and then takes its name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import op

from repositories.migrations import revision_operations as operations

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

revision = "0017"
down_revision = "0016"

_TABLES = ("knowledge", "learning_memories", "findings")
# As `domain.schema.tenant_lexemes` was when this revision was written.
_GROUP = "left(encode(sha256(decode(tenant, 'escape')), 'hex'), 1)"
_KEYS = (
    f'string_to_array(textcat((chr(2) || (tenant COLLATE "C") || chr(1) || {_GROUP}),'
    f" replace(btrim(CAST(strip(search_vector) AS TEXT), ''''), ''' ''', chr(1) || {_GROUP})), chr(1))"
)


def upgrade() -> None:
    for table in _TABLES:
        _replace(table, [sa.text(_KEYS)], {"gin_pending_list_limit": 512})


def downgrade() -> None:
    for table in reversed(_TABLES):
        _replace(table, ["search_vector"], {})


def _replace(
    table: str, columns: Sequence[str | sa.TextClause], options: Mapping[str, int]
) -> None:
    name = f"ix_{table}_search_vector"
    built = f"{name}_built"
    with operations.timed(table, "the index of keyword search is built again"):
        operations.create_index_concurrently(
            built, table, columns, postgresql_using="gin", postgresql_with=options
        )
        op.drop_index(name, table)
        op.execute(f"ALTER INDEX {built} RENAME TO {name}")
