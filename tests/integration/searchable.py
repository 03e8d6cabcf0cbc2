"""A database with enough rows for the planner to use indexes.

Random embeddings, and texts whose words are as unequal as a language's.
"""

from __future__ import annotations

from sqlalchemy import text

from repositories import Database

ROWS = 6_000
REPO, SMALL_REPO = "acme/api", "acme/small"
"""Four rows in five are the first one's, one in a hundred the second one's."""

COMMON, RARE = "word0", "word300"

_REPO = (
    f"CASE WHEN g % 100 = 0 THEN '{SMALL_REPO}' WHEN g % 5 = 0 THEN 'acme/web' ELSE '{REPO}' END"
)
_WORDS = (
    "(SELECT string_agg('word' || floor(400 * random() ^ 4), ' ') FROM generate_series(1, 20) "
    "WHERE g > 0)"
)
_VECTOR = (
    "(SELECT array_agg(random() - 0.5) FROM generate_series(1, {dimensions}) WHERE g > 0)::vector"
)

_CHUNKS = f"""
INSERT INTO knowledge (
  tenant, id, repo, chunk_id, source, source_type, content, content_hash, metadata, embedding
)
SELECT 'default', gen_random_uuid(), {_REPO}, 'chunk-' || g, 'docs/' || g % 50,
  CASE WHEN g % 8 = 0 THEN 'code' ELSE 'doc' END,
  {_WORDS}, sha256(g::text::bytea), jsonb_build_object('n', g % 200), {_VECTOR}
FROM generate_series(1, :rows) AS g"""
_MEMORIES = f"""
INSERT INTO learning_memories (
  tenant, id, repo, owner, source_repo, finding_text, severity, category, file_path, outcome,
  embedding_model, embedding_dim, embedding
)
SELECT 'default', gen_random_uuid(), {_REPO}, 'acme', 'acme/api', {_WORDS},
  'major', 'correctness', 'api.py', 'accepted', 'model', {{dimensions}}, {_VECTOR}
FROM generate_series(1, :rows) AS g"""
_FINDINGS = f"""
WITH review AS (
  INSERT INTO reviews (tenant, id, repo, pr_number)
  VALUES ('default', gen_random_uuid(), '{REPO}', 7) RETURNING id
)
INSERT INTO findings (tenant, id, review_id, repo, file_path, severity, category, confidence, title)
SELECT 'default', gen_random_uuid(), review.id, {_REPO}, 'api.py', 'major', 'correctness', 90,
  {_WORDS}
FROM review, generate_series(1, 2 * :rows) AS g"""
_GRAPHS = (
    "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND indexdef LIKE "
    "'% USING hnsw %'"
)


async def fill(database: Database, *, rows: int = ROWS, chunks_only: bool = False) -> None:
    """Write `rows` rows of each searched kind, and analyse the tables.

    Findings are short, so there are twice as many of them. The HNSW indexes are built at the end,
    which is several times as fast.
    """
    async with database.reader() as view:
        dimensions = (await view.embedding_metadata.get()).dimensions
    async with database.engine.begin() as connection:
        graphs = (await connection.execute(text(_GRAPHS))).all()
        for name, _ in graphs:
            await connection.execute(text(f"DROP INDEX {name}"))
        await connection.execute(text("SELECT setseed(0.5)"))
        for statement in (_CHUNKS,) if chunks_only else (_CHUNKS, _MEMORIES, _FINDINGS):
            await connection.execute(text(statement.format(dimensions=dimensions)), {"rows": rows})
        for _, definition in graphs:
            await connection.execute(text(definition))
    async with database.engine.connect() as connection:
        # VACUUM moves what was written to a GIN index from its list of new rows into the index.
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("VACUUM ANALYZE"))
