"""Fill a database with rows of a year, made by the server.

One tenant has 50 repositories. The first has 30 % of the rows, the others share the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from domain import metadata

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from repositories import Database

DIMENSIONS: Final = 64
REPOS: Final = 50
MOST_TEXTS: Final = 200_000
"""Knowledge and memories have no more rows than this at any size."""

TENANT: Final = "default"
OWNER: Final = "acme"
LARGE_REPO: Final = "acme/r00"
SMALL_REPO: Final = "acme/tiny"
ABSENT_REPO: Final = "acme/absent"
SMALL_ROWS: Final = 10
"""Rows of each kind that the small repository has, at every size."""

DAYS: Final = 365


@dataclass(frozen=True)
class Size:
    """The number of rows of one run."""

    name: str
    rows: int

    @property
    def texts(self) -> int:
        """Rows of knowledge and of memories."""
        return min(self.rows, MOST_TEXTS)

    @property
    def fifth(self) -> int:
        """Rows of reviews, authors and other small tables."""
        return self.rows // 5


SMALL: Final = Size("S", 5_000)
MEDIUM: Final = Size("M", 50_000)
LARGE: Final = Size("L", 500_000)

# The functions exist for one session. `n` is the number of a row, from 1.
_FUNCTIONS: Final = (
    f"""CREATE FUNCTION pg_temp.repo(n bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN n <= {SMALL_ROWS} THEN '{SMALL_REPO}' WHEN n % 10 < 3 THEN '{LARGE_REPO}'
    ELSE 'acme/r' || lpad((1 + n % {REPOS - 1})::text, 2, '0') END $$""",
    f"""CREATE FUNCTION pg_temp.moment(n bigint, total bigint) RETURNS timestamptz
    LANGUAGE sql STABLE AS $$
    SELECT now() - make_interval(secs => {DAYS}.0 * 86400 * (total - n + 1) / (total + 1)) $$""",
    """CREATE FUNCTION pg_temp.id(kind text, n bigint, total bigint) RETURNS uuid
    LANGUAGE sql STABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM pg_temp.moment(n, total)) * 1000)::bigint), 12, '0')
    || '7' || substr(md5(kind || n), 1, 3) || '8' || substr(md5(kind || n), 5, 15))::uuid $$""",
    f"""CREATE TEMPORARY TABLE parts ON COMMIT DROP AS
    SELECT number, (SELECT array_agg(random() - 0.5 + 0 * (number + part))
                    FROM generate_series(1, {DIMENSIONS}) AS part)::vector AS direction
    FROM generate_series(0, 996) AS number""",
    """CREATE TEMPORARY TABLE sentences ON COMMIT DROP AS
    SELECT number, (SELECT string_agg('word' || floor(2000 * power(random(), 3)
                                                      + 0 * (number + part))::int::text, ' ')
                    FROM generate_series(1, 12) AS part) AS sentence
    FROM generate_series(0, 4998) AS number""",
    "CREATE UNIQUE INDEX ON parts (number)",
    "CREATE UNIQUE INDEX ON sentences (number)",
    "ANALYZE parts",
    "ANALYZE sentences",
)
_EMBEDDING: Final = (
    "(SELECT a.direction + b.direction FROM parts a, parts b"
    " WHERE a.number = n % 101 AND b.number = n % 997)"
)
_SENTENCE: Final = "(SELECT sentence FROM sentences WHERE number = n % 4999)"
_SEVERITY: Final = "(ARRAY['critical', 'major', 'medium', 'minor'])[1 + n % 4]"
_CATEGORY: Final = "(ARRAY['correctness', 'security', 'performance'])[1 + n % 3]"

_TABLES: Final = {
    "reviews": (
        "fifth",
        """INSERT INTO reviews (tenant, id, created_at, repo, pr_number, head_sha, findings_total)
        SELECT :tenant, pg_temp.id('review', n, :total), pg_temp.moment(n, :total),
               pg_temp.repo(n), n, 'head' || n, 5
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "findings": (
        "rows",
        f"""INSERT INTO findings (tenant, id, created_at, review_id, repo, file_path, severity,
                              category, confidence, title, comment_id, comment_surface,
                              review_output_key, suppressed)
        SELECT :tenant, pg_temp.id('finding', n, :total), pg_temp.moment(n, :total),
               pg_temp.id('review', 1 + (n - 1) / 5, :total / 5), pg_temp.repo(1 + (n - 1) / 5),
               'src/module' || n % 997 || '.py', {_SEVERITY}, {_CATEGORY}, n % 101,
               {_SENTENCE} || ' title' || n % 2003, n, 'inline', 'output' || n, n % 7 = 0
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "suppression_log": (
        "rows",
        """INSERT INTO suppression_log (tenant, id, created_at, review_id, pattern, matched_count,
                                     finding_ids)
        SELECT :tenant, pg_temp.id('suppression', n, :total), pg_temp.moment(n, :total),
               pg_temp.id('review', 1 + (n - 1) / 5, :total / 5), 'pattern' || n % 5003, 1, '{}'
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "feedback_reactions": (
        "rows",
        f"""INSERT INTO feedback_reactions (tenant, id, created_at, repo, review_id, finding_id,
                                        comment_id, comment_surface, reaction_id, reaction_content,
                                        reactor_login, severity, category, file_path, title)
        SELECT :tenant, pg_temp.id('reaction', n, :total), pg_temp.moment(n, :total),
               pg_temp.repo(1 + (n - 1) / 5), pg_temp.id('review', 1 + (n - 1) / 5, :total / 5),
               pg_temp.id('finding', n, :total), n, 'inline', n,
               CASE WHEN n % 3 = 0 THEN '-1' ELSE '+1' END, 'login' || n % 211,
               {_SEVERITY}, {_CATEGORY}, 'src/module' || n % 997 || '.py', 'title' || n % 2003
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "knowledge": (
        "texts",
        f"""INSERT INTO knowledge (tenant, id, created_at, chunk_id, repo, source, source_type,
                               content, metadata, content_hash, embedding_model, embedding)
        SELECT :tenant, pg_temp.id('knowledge', n, :total), pg_temp.moment(n, :total), 'chunk' || n,
               pg_temp.repo(n), 'docs/page' || n / 20, 'doc', {_SENTENCE} || ' passage' || n,
               jsonb_build_object('page', n % 1009), sha256(n::text::bytea), 'model', {_EMBEDDING}
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "learning_memories": (
        "texts",
        f"""INSERT INTO learning_memories (tenant, id, created_at, repo, owner, finding_id,
                                       source_repo, finding_text, severity, category, file_path,
                                       outcome, embedding_model, embedding_dim, embedding)
        SELECT :tenant, pg_temp.id('memory', n, :total), pg_temp.moment(n, :total),
               pg_temp.repo(n), '{OWNER}', pg_temp.id('about', n, :total), pg_temp.repo(n),
               {_SENTENCE} || ' memory' || n, {_SEVERITY}, {_CATEGORY}, 'src/module.py', 'accepted',
               'model', {DIMENSIONS}, {_EMBEDDING}
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "global_patterns": (
        "fifth",
        f"""INSERT INTO global_patterns (id, severity, category, confidence_band,
                                     pattern_fingerprint, count)
        SELECT pg_temp.id('pattern', n, :total), {_SEVERITY}, {_CATEGORY}, 'high',
               'fingerprint' || n, 1
        FROM generate_series(1, CAST(:total AS bigint)) AS n WHERE :tenant <> ''""",
    ),
    "run_state": (
        "rows",
        """INSERT INTO run_state (tenant, id, created_at, run_key, repo, pr_number, base_sha,
                                  head_sha, delivery_id, action, status, claimed_at, completed_at)
        SELECT :tenant, pg_temp.id('run', n, :total), now() - interval '1 hour', 'run' || n,
               pg_temp.repo(n), n, 'base', 'head' || n, 'delivery' || n, 'opened',
               CASE WHEN n % 20 = 0 THEN 'superseded' ELSE 'completed' END,
               now() - interval '1 hour', CASE WHEN n % 20 > 0 THEN now() - interval '1 hour' END
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "review_checkpoints": (
        "fifth",
        """INSERT INTO review_checkpoints (tenant, id, created_at, review_output_key, repo,
                                        pr_number, checkpoint_data)
        SELECT :tenant, pg_temp.id('checkpoint', n, :total), pg_temp.moment(n, :total),
               'output' || n, pg_temp.repo(n), n, '{}'
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "author_cache": (
        "fifth",
        """INSERT INTO author_cache (tenant, id, created_at, repo, author_login, tier,
                                  author_association, cached_at)
        SELECT :tenant, pg_temp.id('author', n, :total), now(), pg_temp.repo(n), 'login' || n,
               'regular', 'MEMBER', now()
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "dep_bump_merge_history": (
        "fifth",
        """INSERT INTO dep_bump_merge_history (tenant, id, created_at, repo, pr_number, merged_at,
                                            source, package_name)
        SELECT :tenant, pg_temp.id('bump', n, :total), pg_temp.moment(n, :total), pg_temp.repo(n),
               n, pg_temp.moment(n, :total), 'renovate',
               CASE WHEN n % 4 = 0 THEN 'popular' ELSE 'package' || n % 499 END
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "telemetry_events": (
        "rows",
        """INSERT INTO telemetry_events (tenant, id, created_at, delivery_id, repo, pr_number,
                                      pr_author, event_type, model, input_tokens, cost_usd,
                                      conclusion)
        SELECT :tenant, pg_temp.id('event', n, :total), pg_temp.moment(n, :total), 'delivery' || n,
               pg_temp.repo(n), n, 'login' || n % 211, 'review', 'model' || n % 3, 100, 0.01,
               CASE WHEN n % 50 = 0 THEN 'timeout' ELSE 'success' END
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "rate_limit_events": (
        "rows",
        """INSERT INTO rate_limit_events (tenant, id, created_at, delivery_id, repo, event_type,
                                       cache_hit_rate, skipped_queries, retry_attempts,
                                       degradation_path)
        SELECT :tenant, pg_temp.id('limit', n, :total), pg_temp.moment(n, :total), 'delivery' || n,
               pg_temp.repo(n), 'review', 0.5, 0, 0, 'none'
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "retrieval_quality_events": (
        "rows",
        """INSERT INTO retrieval_quality_events (tenant, id, created_at, delivery_id, repo,
                                              event_type, result_count)
        SELECT :tenant, pg_temp.id('quality', n, :total), pg_temp.moment(n, :total),
               'delivery' || n, pg_temp.repo(n), 'review', 10
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "resilience_events": (
        "rows",
        """INSERT INTO resilience_events (tenant, id, created_at, delivery_id, repo, event_type,
                                       kind, timeout_classification_reasons)
        SELECT :tenant, pg_temp.id('resilience', n, :total), pg_temp.moment(n, :total),
               'delivery' || n, pg_temp.repo(n), 'review', 'timeout', '{}'
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
    "committed_operations": (
        "fifth",
        """INSERT INTO committed_operations (tenant, operation_id, created_at)
        SELECT :tenant, pg_temp.id('operation', n, :total), pg_temp.moment(n, :total)
        FROM generate_series(1, CAST(:total AS bigint)) AS n""",
    ),
}
_INDEXES: Final = text("""
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = current_schema() AND tablename = ANY(:tables)
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)
""")


async def fill(database: Database, size: Size) -> None:
    """Write the rows, and leave the tables vacuumed and analyzed, with the partitions and indexes.

    Months of telemetry and large tenants have theirs, as in a database in use. The oldest
    operations are purged.
    """
    await fill_tables(database.engine, size)
    await vacuum(database)
    await database.maintain(rebuild_indexes=False, keep_operations=timedelta(days=DAYS - 5))
    await vacuum(database)


async def fill_tables(
    engine: AsyncEngine, size: Size, only: Collection[str] = tuple(_TABLES)
) -> None:
    """Write the rows of all tables, or of some, and build the indexes afterwards."""
    async with engine.connect() as connection:
        await connection.execute(text("SET maintenance_work_mem = '512MB'"))
        definitions = await _drop_indexes(connection)
        for function in _FUNCTIONS:
            await connection.execute(text(function))
        for table, (count, insert) in _TABLES.items():
            if table not in only:
                continue
            rows = getattr(size, count)
            await connection.execute(text(insert), {"tenant": TENANT, "total": rows})
        for definition in definitions:
            await connection.execute(text(definition))
        await connection.commit()
        await connection.invalidate()  # with its settings


async def vacuum(database: Database) -> None:
    """Vacuum and analyze every table."""
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in metadata.tables:
            await connection.execute(text(f"VACUUM (ANALYZE) {table}"))


async def _drop_indexes(connection: AsyncConnection) -> list[str]:
    tables = [name for name in _TABLES if name != "telemetry_events"]
    definitions = []
    for _, name, definition in (await connection.execute(_INDEXES, {"tables": tables})).all():
        await connection.execute(text(f'DROP INDEX "{name}"'))
        definitions.append(definition)
    return definitions
