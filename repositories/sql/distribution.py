"""Statements about the nodes and shards of Citus.

Only a database with the extension has their functions and tables.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ARRAY, Integer, Text, bindparam, text

HAS_CITUS: Final = text("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')")

IS_COORDINATOR: Final = text("SELECT citus_is_coordinator()")

NODES: Final = text("""
SELECT n.nodename AS host, n.nodeport AS port, n.isactive AS active, n.shouldhaveshards AS stores,
       count(s.shardid) AS shards
FROM pg_dist_node n
LEFT JOIN pg_dist_placement p USING (groupid)
LEFT JOIN pg_dist_shard s
  ON s.shardid = p.shardid AND s.logicalrelid = to_regclass(:table) AND p.shardstate = 1
WHERE n.noderole = 'primary'
GROUP BY n.groupid, n.nodeid, n.nodename, n.nodeport, n.isactive, n.shouldhaveshards
ORDER BY n.groupid
""").bindparams(bindparam("table", type_=Text))
"""Select the nodes, with their number of shards of a table. Bind: `table`."""

TABLES: Final = text("""
SELECT c.relname::text AS name, p.repmodel = 't' AS is_reference,
       p.partmethod = 'h' AS is_distributed,
       CASE WHEN p.partmethod = 'h' THEN column_to_column_name(p.logicalrelid, p.partkey) END
         AS column,
       p.colocationid AS colocation,
       (SELECT count(*) FROM pg_dist_shard s WHERE s.logicalrelid = p.logicalrelid) AS shards
FROM pg_dist_partition p JOIN pg_class c ON c.oid = p.logicalrelid
WHERE c.relnamespace = current_schema()::regnamespace ORDER BY 1
""")
"""Select the tables of the current schema that Citus knows, partitions included."""

STORED: Final = text("""
SELECT c.relname::text AS name,
       (pg_relation_size(c.oid) + coalesce((
         SELECT sum(pg_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = c.oid
       ), 0))::bigint AS bytes,
       (SELECT partstrat::text FROM pg_partitioned_table WHERE partrelid = c.oid) AS strategy
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p')
  AND c.relname = ANY(:names)
""").bindparams(bindparam("names", type_=ARRAY(Text)))
"""Select which of these tables exist, the bytes that this node stores of each outside of shards,
and the strategy of its partitions. Bind: `names`."""

EXTENSION_VERSIONS: Final = text("""
SELECT n.nodename AS host, n.nodeport AS port, r.success, r.result
FROM run_command_on_all_nodes(
    $$SELECT coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), 'missing')$$
) AS r JOIN pg_dist_node n USING (nodeid)
""")
"""Ask every node for its version of pgvector. A node that does not answer has no success."""

ANSWERS: Final = text("""
SELECT n.nodename AS host, n.nodeport AS port, r.success
FROM run_command_on_all_nodes('SELECT 1') AS r JOIN pg_dist_node n USING (nodeid)
""")
"""Ask every node for an answer. A node that does not answer has no success."""

BUILDS_INDEX: Final = text("""
SELECT bool_or(NOT success OR result <> '0') FROM run_command_on_all_nodes(
    'SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()'
)
""")
"""Ask every node whether it builds an index. A node that does not answer may do so."""

ONE_AT_A_TIME: Final = text("SET LOCAL citus.multi_shard_modify_mode = 'sequential'")
"""Change the shards of a table on one connection per node, so that foreign keys see each other."""

CREATE_REFERENCE_TABLE: Final = text("SELECT create_reference_table(CAST(:table AS text))")

CREATE_FIRST_TABLE: Final = text("""
SELECT create_distributed_table(:table, 'tenant', colocate_with => 'none', shard_count => :shards)
""").bindparams(bindparam("table", type_=Text), bindparam("shards", type_=Integer))

CREATE_COLOCATED_TABLE: Final = text("""
SELECT create_distributed_table(:table, 'tenant', colocate_with => :with)
""").bindparams(bindparam("table", type_=Text), bindparam("with", type_=Text))

TRUNCATE_LOCAL: Final = text(
    "SELECT truncate_local_data_after_distributing_table(CAST(:table AS text))"
)

SHARD_OF_TENANT: Final = text("""
SELECT s.shardid AS shard, s.shardminvalue = s.shardmaxvalue AS is_isolated
FROM pg_dist_shard s
WHERE s.shardid = get_shard_id_for_distribution_column(CAST(:table AS regclass), :tenant)
""").bindparams(bindparam("table", type_=Text), bindparam("tenant", type_=Text))
"""Select the shard of a tenant, and whether no other tenant can be in it."""

ISOLATE_TENANT: Final = text("""
SELECT isolate_tenant_to_new_shard(CAST(:table AS regclass), :tenant, 'CASCADE', 'block_writes')
""").bindparams(bindparam("table", type_=Text), bindparam("tenant", type_=Text))
"""Give a tenant a shard of its own in each table, while writers of the old shard wait.

By logical replication, Citus 14.0.1 waited forever in trials while a writer changed the tenant:
"publisher did not send replica identity column".
"""

SIZE_ON_NODES: Final = text("SELECT citus_total_relation_size(CAST(:table AS regclass))::float8")
"""Select the size of a table with its indexes on all nodes. Bind: `table`."""

DEFAULT_HOLDS_ROWS: Final = text("""
SELECT bool_or(success AND result = 't') AS holds, bool_and(success) AS answered
FROM run_command_on_shards(:table, 'SELECT EXISTS (SELECT 1 FROM %s)')
""").bindparams(bindparam("table", type_=Text))
"""Ask every shard of a table for a row; a node that does not answer is left out."""
