"""`check`.

Silent where entities and database agree, and one sentence for each thing that does not.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from domain.errors import AccessDenied, SchemaOutdated
from repositories import migrations
from repositories.migrations import SchemaOptions
from repositories.migrations.drift import find_drift
from repositories.migrations.options import read_recorded
from repositories.migrations.target import target_metadata
from tests.integration.migrations.support import (
    HEAD,
    Schema,
    as_superuser,
    execute,
    newest,
    opened,
    scalar,
)

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer

CHANGES = {
    "DROP TABLE committed_operations": ["table committed_operations is missing in the database"],
    "ALTER TABLE reviews DROP COLUMN model": ["column reviews.model is missing in the database"],
    "ALTER TABLE reviews ADD COLUMN mood text": [
        "column reviews.mood is in the database and not in the entities"
    ],
    "ALTER TABLE reviews ALTER model TYPE varchar(80)": [
        "the type of column reviews.model is `character varying(80)`, the entities say `text`"
    ],
    "ALTER TABLE reviews ALTER repo DROP NOT NULL": [
        "the nullability of column reviews.repo is `nullable`, the entities say `not null`"
    ],
    "ALTER TABLE reviews ALTER conclusion SET DEFAULT 'known'": [
        "the default of column reviews.conclusion is `'known'::text`, the entities say "
        "`'unknown'::text`"
    ],
    "ALTER TABLE reviews ALTER files_analyzed DROP DEFAULT": [
        "the default of column reviews.files_analyzed is absent, the entities say `0`"
    ],
    'ALTER TABLE reviews ALTER model TYPE text COLLATE "C"': [
        "the collation of column reviews.model is `C`, the entities say absent"
    ],
    "COMMENT ON COLUMN reviews.model IS 'Something else.'": [
        "the comment of column reviews.model is `Something else.`, the entities say "
        "`Language model that reviewed.`"
    ],
    "COMMENT ON TABLE reviews IS NULL": [
        "the comment of table reviews is absent, the entities say `One finished review of one "
        "pull request.`"
    ],
    "DROP INDEX ix_reviews_tenant_repo_created_at": [
        "index ix_reviews_tenant_repo_created_at of reviews is missing in the database"
    ],
    "CREATE INDEX ix_mine ON reviews (model)": [
        "index ix_mine of reviews is in the database and not in the entities"
    ],
    "ALTER INDEX ix_knowledge_metadata SET (fastupdate = off)": [
        "the definition of index ix_knowledge_metadata of knowledge is"
        " `CREATE INDEX ix_knowledge_metadata ON knowledge USING gin (metadata jsonb_path_ops) WITH"
        " (fastupdate=off)`,"
        " the entities say `CREATE INDEX ix_knowledge_metadata ON knowledge USING gin"
        " (metadata jsonb_path_ops)`"
    ],
    "ALTER TABLE reviews DROP CONSTRAINT ck_reviews_pr_number": [
        "constraint ck_reviews_pr_number of reviews is missing in the database"
    ],
    "ALTER TABLE reviews DROP CONSTRAINT ck_reviews_pr_number, ADD CONSTRAINT "
    "ck_reviews_pr_number CHECK (pr_number >= 0)": [
        "the definition of constraint ck_reviews_pr_number of reviews is `CHECK (pr_number >= 0)`,"
        " the entities say `CHECK (pr_number >= 1)`"
    ],
    "ALTER TABLE reviews DROP CONSTRAINT ck_reviews_pr_number,"
    " ADD CONSTRAINT ck_reviews_pr_number CHECK (pr_number >= 1) NOT VALID": [
        "the definition of constraint ck_reviews_pr_number of reviews is `CHECK (pr_number >= 1) "
        "NOT VALID`,"
        " the entities say `CHECK (pr_number >= 1)`"
    ],
    "ALTER TABLE run_state DROP CONSTRAINT uq_run_state_tenant_run_key": [
        "constraint uq_run_state_tenant_run_key of run_state is missing in the database"
    ],
    "ALTER TABLE findings DROP CONSTRAINT fk_findings_reviews,"
    " ADD CONSTRAINT fk_findings_reviews FOREIGN KEY (tenant, review_id) REFERENCES reviews "
    "(tenant, id)": [
        "the definition of constraint fk_findings_reviews of findings is"
        " `FOREIGN KEY (tenant, review_id) REFERENCES reviews(tenant, id)`, the entities say"
        " `FOREIGN KEY (tenant, review_id) REFERENCES reviews(tenant, id) ON DELETE CASCADE`"
    ],
    "CREATE TRIGGER mine BEFORE UPDATE ON reviews FOR EACH ROW EXECUTE FUNCTION "
    "suppress_redundant_updates_trigger()": [
        "trigger mine of reviews is in the database and not in the entities"
    ],
    "DROP TABLE telemetry_events_default": [
        "the default partition of table telemetry_events is `missing`, the entities say `present`"
    ],
    "ALTER TABLE learning_memories ALTER embedding TYPE vector(9)": [
        "the type of column learning_memories.embedding is `vector(9)`, the entities say "
        "`vector(8)`"
    ],
    "UPDATE embedding_metadata SET dimensions = 9": [
        "the type of column knowledge.embedding is `vector(8)`, the entities say `vector(9)`",
        "the type of column learning_memories.embedding is `vector(8)`, the entities say "
        "`vector(9)`",
    ],
}


@pytest.mark.parametrize(
    ("server", "dimensions"),
    [(18, 2000), (18, 3072), (18, 16_000), (16, 3072)],
    indirect=["server"],
)
async def test_a_migrated_database_is_what_the_entities_ask_for_in_every_dimension(
    empty: AsyncEngine, dimensions: int
) -> None:
    await migrations.migrate(
        empty, SchemaOptions(dimensions=dimensions, hnsw_m=24, hnsw_ef_construction=100)
    )
    assert await migrations.check(empty) == []


async def test_every_drift_is_reported_in_its_own_sentence(migrated: AsyncEngine) -> None:
    def drift_after(change: str, connection: Connection) -> list[str]:
        connection.execute(text(change))
        options = read_recorded(connection)
        assert options is not None
        return [str(difference) for difference in find_drift(connection, target_metadata(options))]

    async with migrated.connect() as connection:
        problems = {
            change: await connection.run_sync(partial(drift_after, change))
            for change in ("SELECT", *CHANGES)
        }
    assert problems == {"SELECT": [], **CHANGES}


@newest
async def test_committed_drift_is_reported_until_it_is_repaired(migrated: AsyncEngine) -> None:
    definition = await scalar(
        migrated, "SELECT pg_get_indexdef('ix_knowledge_embedding'::regclass)"
    )
    await execute(migrated, "DROP INDEX ix_knowledge_embedding")
    assert await migrations.check(migrated) == [
        "index ix_knowledge_embedding of knowledge is missing in the database"
    ]
    await execute(migrated, definition)
    assert await migrations.check(migrated) == []


@newest
async def test_checking_changes_nothing_and_takes_no_more_than_temporary_tables(
    migrated: AsyncEngine, migrated_url: SecretStr, server: TestServer
) -> None:
    schema = Schema(server, migrated_url)
    before = schema.dump()
    async with opened(as_superuser(server, migrated_url)) as admin:
        await execute(
            admin,
            "ALTER SCHEMA public OWNER TO postgres",
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            f'ALTER DATABASE "{migrated.url.database}" OWNER TO postgres',
        )
        assert (
            await scalar(migrated, "SELECT has_database_privilege(current_database(), 'CREATE')")
            is False
        )
        assert await migrations.check(migrated) == []
        await execute(admin, f'REVOKE TEMP ON DATABASE "{migrated.url.database}" FROM PUBLIC')
        with pytest.raises(AccessDenied):
            await migrations.check(migrated)
        await execute(
            admin,
            f'ALTER DATABASE "{migrated.url.database}" OWNER TO recollect',
            "ALTER SCHEMA public OWNER TO pg_database_owner",
        )
    assert schema.dump() == before
    assert await scalar(migrated, "SELECT count(*) FROM pg_class WHERE relpersistence = 't'") == 0


@newest
async def test_a_database_that_is_not_at_the_newest_revision_is_not_compared(
    empty: AsyncEngine,
) -> None:
    with pytest.raises(SchemaOutdated) as error:
        await migrations.check(empty)
    assert (error.value.current, error.value.expected) == (None, HEAD)
    await migrations.migrate(empty, revision="0003")
    with pytest.raises(SchemaOutdated, match=f"at revision 0003 and this version needs {HEAD}"):
        await migrations.check(empty)
