"""`revise`.

The revision runs unchanged in both directions, and removes the drift.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Integer, MetaData, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import AutoString

from domain import metadata
from domain.errors import ConfigurationError, SchemaOutdated
from domain.schema.columns import EmbeddingColumn, search_vector
from domain.schema.constraints import embedding_check
from repositories import migrations
from repositories.migrations import SchemaOptions
from tests.integration.migrations.support import (
    AFTER_NEXT,
    HEAD,
    NEXT,
    Schema,
    execute,
    newest,
    scalar,
)

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy.ext.asyncio import AsyncEngine

    from repositories.testing.servers import TestServer

CHECKOUT = Path(__file__).parents[3]

# What is taken away or changed by hand, so that the entities ask for it back.
CHANGES = [
    "ALTER TABLE reviews DROP COLUMN model",
    "ALTER TABLE reviews DROP COLUMN duration_ms",
    "ALTER TABLE reviews DROP COLUMN config_snapshot",
    "ALTER TABLE run_state DROP COLUMN status",
    "ALTER TABLE resilience_events DROP COLUMN timeout_classification_reasons",
    "ALTER TABLE knowledge DROP COLUMN embedding",
    "DROP INDEX ix_learning_memories_embedding",
    "ALTER TABLE findings DROP COLUMN search_vector",
    "ALTER TABLE knowledge DROP COLUMN search_vector",
    "ALTER TABLE knowledge ADD search_vector tsvector GENERATED ALWAYS AS (to_tsvector('english', "
    "content)) STORED",
    "CREATE INDEX ix_knowledge_search_vector ON knowledge USING gin (search_vector)",
    "DROP TABLE committed_operations",
    "DROP TABLE feedback_reactions",
    "DROP INDEX ix_reviews_tenant_repo_created_at",
    "DROP INDEX ix_rate_limit_events_tenant_delivery_id_event_type",
    "CREATE INDEX ix_mine ON reviews (head_sha)",
    "ALTER TABLE run_state DROP CONSTRAINT uq_run_state_tenant_run_key",
    "ALTER TABLE suppression_log DROP CONSTRAINT fk_suppression_log_reviews",
    "ALTER TABLE reviews DROP CONSTRAINT ck_reviews_pr_number",
    "ALTER TABLE findings DROP CONSTRAINT ck_findings_severity",
    "ALTER TABLE findings ADD CONSTRAINT ck_findings_severity CHECK (severity IN ('good', 'bad'))",
    "ALTER TABLE reviews ADD CONSTRAINT ck_mine CHECK (head_sha <> '')",
    "ALTER TABLE reviews ALTER pr_number TYPE bigint",
    "ALTER TABLE reviews ALTER conclusion SET DEFAULT 'known'",
    "ALTER TABLE reviews ALTER files_analyzed DROP DEFAULT",
    "ALTER TABLE reviews ALTER repo DROP NOT NULL",
    "COMMENT ON COLUMN reviews.repo IS 'Something \"else\"'",
    "COMMENT ON TABLE reviews IS NULL",
]


def lint(path: Path) -> None:
    """Hold a revision to the rules of the package's own, and to the format of where it is."""
    ruff = [sys.executable, "-m", "ruff"]
    name = CHECKOUT / "repositories/migrations/versions" / path.name
    as_ours = [*ruff, "check", "--stdin-filename", str(name), "-"]
    checked = subprocess.run(
        as_ours,
        input=path.read_text(),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout
    subprocess.run(
        [*ruff, "format", "--check", str(path)], capture_output=True, timeout=60, check=True
    )


@pytest.mark.parametrize(
    "changes", [CHANGES, ["DROP TABLE learning_memories"]], ids=["everything", "a table"]
)
async def test_what_is_generated_runs_up_and_down_and_ends_the_drift(
    migrated: AsyncEngine,
    migrated_url: SecretStr,
    server: TestServer,
    tmp_path: Path,
    changes: list[str],
) -> None:
    await execute(migrated, *changes)
    assert len(await migrations.check(migrated)) >= len(changes) - 3
    schema = Schema(server, migrated_url)
    before = schema.dump()
    path = await migrations.revise(migrated, 'Bring back "everything"!', tmp_path)
    assert path == tmp_path / f"{NEXT}_bring_back_everything.py"
    lint(path)
    assert await migrations.migrate(migrated, directory=tmp_path) == NEXT
    assert await migrations.check(migrated, directory=tmp_path) == []
    assert await migrations.rollback(migrated, directory=tmp_path) == HEAD
    assert sorted(schema.dump().splitlines()) == sorted(before.splitlines())


def grown_entities() -> MetaData:
    """The entities of a later version.

    A table more, and a column more of each kind that needs an import.
    """
    later = MetaData(naming_convention=metadata.naming_convention)
    for table in metadata.sorted_tables:
        table.to_metadata(later)
    later.tables["reviews"].append_column(Column("mood", AutoString(80), comment="How it felt."))
    later.tables["reviews"].append_column(Column("picture", VECTOR(3), comment="Picture."))
    later.tables["reviews"].append_column(Column("embedding", EmbeddingColumn(), comment="Vector."))
    Table(
        "own_notes",
        later,
        Column("id", Integer, primary_key=True, comment="Which note."),
        Column("tenant", Text, nullable=False, comment="Tenant."),
        Column("text", Text, nullable=False, comment="Text."),
        Column("more", JSONB(none_as_null=True), comment="More."),
        Column("embedding", EmbeddingColumn(), comment="Vector of the text."),
        embedding_check(),
        *search_vector(text="A"),
        comment="A note.",
    )
    return later


@newest
async def test_what_is_generated_in_one_database_runs_in_one_of_another_dimension_and_language(
    migrated: AsyncEngine, empty: AsyncEngine, tmp_path: Path
) -> None:
    entities = grown_entities()
    path = await migrations.revise(migrated, "notes", tmp_path, entities=entities)
    lint(path)
    assert await migrations.migrate(migrated, directory=tmp_path) == NEXT
    assert await migrations.check(migrated, entities=entities, directory=tmp_path) == []

    await migrations.migrate(
        empty, SchemaOptions(dimensions=3072, language="german"), directory=tmp_path
    )
    assert await migrations.check(empty, entities=entities, directory=tmp_path) == []
    index = await scalar(empty, "SELECT pg_get_indexdef('ix_own_notes_embedding'::regclass)")
    assert "halfvec(3072)" in index
    await execute(empty, "INSERT INTO own_notes (id, tenant, text) VALUES (1, 'us', 'die Häuser')")
    assert await scalar(empty, "SELECT search_vector::text FROM own_notes") == "'haus':2A"


@newest
async def test_nothing_is_generated_where_nothing_differs_and_nothing_was_asked_for(
    migrated: AsyncEngine, tmp_path: Path
) -> None:
    first = await migrations.revise(migrated, "nothing", tmp_path)
    lint(first)
    assert first.read_text().count("    pass\n") == 2
    assert "import sqlmodel\n" in first.read_text()
    assert "import pgvector.sqlalchemy\n" in first.read_text()
    assert await migrations.migrate(migrated, directory=tmp_path) == NEXT
    await execute(migrated, "DROP TABLE committed_operations")
    second = await migrations.revise(migrated, "by hand", tmp_path, autogenerate=False)
    assert second.name == f"{AFTER_NEXT}_by_hand.py"
    assert second.read_text().count("    pass\n") == 2
    assert await migrations.migrate(migrated, directory=tmp_path) == AFTER_NEXT
    assert await migrations.rollback(migrated, HEAD, directory=tmp_path) == HEAD


@newest
async def test_revisions_are_numbered_from_the_newest_which_the_database_has_to_have(
    migrated: AsyncEngine, tmp_path: Path
) -> None:
    await migrations.revise(migrated, "one", tmp_path)
    with pytest.raises(SchemaOutdated, match=f"at revision {HEAD} and this version needs {NEXT}"):
        await migrations.revise(migrated, "two", tmp_path)
    with pytest.raises(ConfigurationError, match="a message that says what it changes"):
        await migrations.revise(migrated, "!?", tmp_path)
