"""Statements that list the HNSW indexes of single tenants, and the tenants with a large share."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Float, Text, bindparam, text

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

LARGE_SHARE: Final = 0.125
"""The share of a table from which a tenant counts as its owner.

The index of keys divides tenants into sixteen groups. In the group of an owner, the other tenants
have on average at most half as many rows as the owner.
"""

OWNERS: Final = text("""
SELECT s.tablename || ':' || v.tenant AS name FROM pg_catalog.pg_stats s
CROSS JOIN LATERAL unnest(CAST(CAST(s.most_common_vals AS text) AS text[]), s.most_common_freqs)
  AS v(tenant, share)
WHERE s.schemaname = current_schema() AND s.attname = 'tenant' AND v.share >= :large_share
""").bindparams(bindparam("large_share", LARGE_SHARE, Float))
"""Select `table:tenant` for each tenant with a large share of a table, by the planner's statistics.

They decide which index a search uses, and never which rows it returns.
"""
