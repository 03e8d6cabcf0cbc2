"""Operations treat the tables of own entities as they treat the library's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import select, text
from typer.testing import CliRunner

from domain import ApplicationEntity, NotRegistered
from examples.review_labels.labels import ReviewLabel, add_label
from examples.review_labels.notes import ReviewNote
from repositories import Database, migrations, operations
from repositories.cli.app import app
from repositories.testing.tables import create_application_tables
from tests.integration.migrations.support import newest

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from repositories.testing.servers import TestServer


@pytest.fixture
def url(server: TestServer) -> SecretStr:
    return server.clone()


@asynccontextmanager
async def opened(url: SecretStr, **settings: bool) -> AsyncIterator[Database]:
    entities: list[type[ApplicationEntity]] = [ReviewLabel, ReviewNote]
    async with Database.from_url(url, entities=entities, migrate=True, **settings) as database:
        yield database


async def prepare(url: SecretStr) -> None:
    async with opened(url) as database:
        await create_application_tables(database)


async def test_row_level_security_covers_an_own_table(url: SecretStr) -> None:
    await prepare(url)
    async with opened(url, row_level_security=True) as database:
        for tenant in ("ours", "theirs"):
            async with database.unit_of_work(tenant=tenant) as uow:
                uow.repository(ReviewLabel).add(
                    ReviewLabel(repo="acme/api", pr_number=1, label=tenant, person="ada")
                )
                await uow.commit()
        async with database.reader(tenant="ours") as view:
            labels = await view.scalars(select(ReviewLabel))
            assert [label.label for label in labels] == ["ours"]


async def test_maintenance_covers_an_own_table_that_was_created_later(url: SecretStr) -> None:
    async with opened(url, row_level_security=True) as database:
        assert (await database.maintain()).covered == ()
        await create_application_tables(database)
        problems = [problem.what for problem in (await database.health()).problems]
        assert any("review_labels" in problem for problem in problems)
        assert (await database.maintain()).covered == ("review_labels", "review_notes")
        assert (await database.maintain()).covered == ()


@newest
async def test_check_finds_the_drift_of_an_own_table(url: SecretStr) -> None:
    await prepare(url)
    own: list[type[ApplicationEntity]] = [ReviewLabel, ReviewNote]
    async with opened(url) as database:
        before = await migrations.check(database.engine, application=own)
        async with database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE review_labels ALTER label DROP NOT NULL"))
            await connection.execute(text("DROP INDEX ix_review_notes_embedding"))
        drift = await migrations.check(database.engine, application=own)
        assert set(drift) - set(before) == {
            "the nullability of column review_labels.label is `nullable`, the entities say"
            " `not null`",
            "index ix_review_notes_embedding of review_notes is missing in the database",
        }


async def test_a_backup_contains_an_own_table(
    url: SecretStr, server: TestServer, tmp_path: Path
) -> None:
    await prepare(url)
    async with opened(url) as database:
        await add_label(database, "acme/api", 7, "security", by="ada")
        await database.dump(tmp_path / "backup")
        async with database.unit_of_work() as uow:
            await uow.execute(text("DELETE FROM review_labels"))
            await uow.commit()
        await database.restore(tmp_path / "backup", replace=True)
        async with database.reader() as view:
            assert [label.label for label in await view.repository(ReviewLabel).list()] == [
                "security"
            ]


async def test_a_table_of_an_own_entity_that_is_not_registered_is_refused(
    url: SecretStr, tmp_path: Path
) -> None:
    async with opened(url) as database:
        async with database.engine.begin() as connection:
            await connection.execute(
                text(
                    "CREATE TABLE strangers (tenant text, id uuid,"
                    " CONSTRAINT pk_strangers PRIMARY KEY (tenant, id))"
                )
            )
        with pytest.raises(NotRegistered, match=r"the table strangers .* RECOLLECT_ENTITIES"):
            await database.dump(tmp_path / "backup")
        with pytest.raises(NotRegistered, match="strangers"):
            await operations.enable_row_level_security(database.engine)
        assert (
            "table strangers belongs to an entity that is not registered: name its module in"
            " RECOLLECT_ENTITIES"
        ) in await migrations.check(database.engine)


def test_commands_import_the_configured_modules(url: SecretStr) -> None:
    environment = {"DATABASE_URL": url.get_secret_value(), "RECOLLECT_ENTITIES": "no_such_module"}
    refused = CliRunner().invoke(app, ["db", "check"], env=environment)
    assert refused.exit_code == 2
    assert "no_such_module cannot be imported" in " ".join(refused.output.split())
    environment["RECOLLECT_ENTITIES"] = "examples.review_labels.labels"
    imported = CliRunner().invoke(app, ["db", "status"], env=environment)
    assert imported.exit_code == 0, imported.output
    checked = CliRunner().invoke(app, ["db", "check"], env=environment)
    assert checked.exit_code == 1
    assert "table review_labels is missing in the database" in checked.output
