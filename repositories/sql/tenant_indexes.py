"""The statement that lists the HNSW indexes of single tenants."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Text, bindparam, text

from repositories.sql.vector_index import TENANT_INDEX

TENANT_INDEXES: Final = text("""
SELECT c.relname::text AS name, t.relname::text AS "table", i.indisvalid AS is_valid,
       pg_catalog.pg_relation_size(c.oid) AS bytes
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'i' AND c.relname ~ :pattern
ORDER BY c.relname
""").bindparams(bindparam("pattern", TENANT_INDEX, Text))
"""Select the HNSW indexes of single tenants: name, table, whether they can be used, and size."""
