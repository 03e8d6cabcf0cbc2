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
from repositories import Database, operations
from repositories.cli.app import app
from repositories.testing.tables import create_application_tables

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


def test_commands_import_the_configured_modules(url: SecretStr) -> None:
    environment = {"DATABASE_URL": url.get_secret_value(), "RECOLLECT_ENTITIES": "no_such_module"}
    refused = CliRunner().invoke(app, ["db", "check"], env=environment)
    assert refused.exit_code == 2
    assert "no_such_module cannot be imported" in " ".join(refused.output.split())
    environment["RECOLLECT_ENTITIES"] = "examples.review_labels.labels"
    imported = CliRunner().invoke(app, ["db", "status"], env=environment)
    assert imported.exit_code == 0, imported.output
