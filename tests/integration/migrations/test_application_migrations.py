"""An application's own Alembic next to the library's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING, Any

import pytest
from alembic import command
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.util import CommandError
from sqlalchemy import ARRAY, DateTime, MetaData, Table, inspect, text
from sqlmodel import Field

from domain import ApplicationEntity, Review, SchemaOutdated, Vector
from examples.review_labels.labels import ReviewLabel
from examples.review_labels.notes import ReviewNote
from repositories import Database, migrations
from repositories.migrations.application import application_migrations
from tests.integration.migrations.support import newest

if TYPE_CHECKING:
    from pydantic import SecretStr
    from sqlalchemy import Connection

    from repositories.testing.servers import TestServer

APPLICATION = Path(__file__).parents[3] / "examples" / "review_labels" / "migrations"


class Shift(ApplicationEntity, table=True):
    """The hours of one person."""

    __tablename__ = "test_shifts"

    begins: tuple[datetime, ...] = Field(sa_type=ARRAY(DateTime(timezone=True)))


@pytest.fixture
def url(server: TestServer) -> SecretStr:
    """A database that the library has migrated."""
    return server.clone()


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """The application's Alembic environment, without its revisions."""
    copied = copytree(APPLICATION, tmp_path / "migrations")
    for revision in (copied / "versions").glob("*.py"):
        revision.unlink()
    (copied / "versions").mkdir(exist_ok=True)
    return copied


def alembic(scripts: Path, run: Callable[[Config], Any]) -> Callable[[Connection], Any]:
    """Return a function that runs an Alembic command on a connection."""

    def on(connection: Connection) -> Any:
        config = Config()
        config.set_main_option("script_location", str(scripts))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        result = run(config)
        connection.commit()
        return result

    return on


@asynccontextmanager
async def opened(url: SecretStr) -> AsyncIterator[tuple[Database, Callable[..., Any]]]:
    async with (
        Database.from_url(url, entities=[ReviewLabel, ReviewNote]) as database,
        database.engine.connect() as connection,
    ):
        yield database, connection.run_sync


def names(connection: Connection) -> Iterator[str]:
    yield from inspect(connection).get_table_names()


@newest
async def test_the_first_revision_creates_the_applications_tables_and_nothing_else(
    url: SecretStr, scripts: Path
) -> None:
    async with opened(url) as (database, run):
        await database.maintain()
        before = set(await run(lambda connection: set(names(connection))))
        await run(alembic(scripts, lambda config: command.revision(config, autogenerate=True)))
        [revision] = (scripts / "versions").glob("*.py")
        source = revision.read_text()
        assert source.count("op.create_table(") == 2
        assert "op.drop_" not in source.partition("def downgrade")[0]
        await run(alembic(scripts, lambda config: command.upgrade(config, "head")))
        after = set(await run(lambda connection: set(names(connection))))
        assert after - before == {"alembic_version", "review_labels", "review_notes"}
        async with database.unit_of_work() as uow:
            review = uow.reviews.add(Review(repo="acme/api", pr_number=7))
            vector = Vector([1.0] * database.dimensions)
            uow.repository(ReviewNote).add(
                ReviewNote(review_id=review.id, title="a", body="deadlines", embedding=vector)
            )
            await uow.commit()
        async with database.reader() as view:
            assert len(await view.repository(ReviewNote).keyword_search("deadline")) == 1
            plans = await view.execute(text("SELECT indexdef FROM pg_indexes"))
            definitions = " ".join(plans.scalars())
            assert "ix_review_notes_embedding" in definitions


async def test_nothing_is_proposed_for_a_migrated_database(url: SecretStr, scripts: Path) -> None:
    async with opened(url) as (database, run):
        drift = await migrations.check(database.engine)
        await run(alembic(scripts, lambda config: command.revision(config, autogenerate=True)))
        await run(alembic(scripts, lambda config: command.upgrade(config, "head")))
        await run(alembic(scripts, command.check))
        await database.migrate()
        await database.maintain()
        await run(alembic(scripts, command.check))
        assert await migrations.check(database.engine) == drift


@newest
async def test_the_committed_revision_equals_the_entities(server: TestServer) -> None:
    own: list[type[ApplicationEntity]] = [ReviewLabel, ReviewNote]
    # The revision names the dimension of the application's database.
    async with (
        Database.from_url(
            server.empty(), entities=own, migrate=True, embedding_dimensions=1024
        ) as database,
        database.engine.connect() as connection,
    ):
        library = await migrations.check(database.engine)
        run = connection.run_sync
        await run(alembic(APPLICATION, lambda config: command.upgrade(config, "head")))
        await database.migrate()
        await database.maintain()
        await run(alembic(APPLICATION, command.check))
        assert await migrations.check(database.engine, application=own) == library
        await run(alembic(APPLICATION, lambda config: command.downgrade(config, "base")))
        missing = await migrations.check(database.engine, application=own)
        assert set(missing) - set(library) == {
            "table review_labels is missing in the database",
            "table review_notes is missing in the database",
        }


async def test_a_missing_column_is_proposed(url: SecretStr, scripts: Path) -> None:
    async with opened(url) as (database, run):
        await run(alembic(scripts, lambda config: command.revision(config, autogenerate=True)))
        await run(alembic(scripts, lambda config: command.upgrade(config, "head")))
        async with database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE review_labels DROP COLUMN person"))
        with pytest.raises(CommandError, match="person"):
            await run(alembic(scripts, command.check))


async def proposed(run: Callable[..., Any], entity: type[ApplicationEntity]) -> str:
    """Return the code that autogenerate proposes for an application with this entity alone."""

    def render(connection: Connection) -> str:
        options = application_migrations(connection, entities=[entity])
        target = options["target_metadata"]
        del options["connection"]
        context = MigrationContext.configure(connection, opts=options)
        upgrade = produce_migrations(context, target).upgrade_ops
        assert upgrade is not None
        return render_python_code(upgrade, render_item=options["render_item"])

    code: str = await run(render)
    return code


async def test_the_items_of_an_array_have_a_type_of_sqlalchemy(url: SecretStr) -> None:
    async with opened(url) as (_database, run):
        assert "sa.ARRAY(sa.DateTime(timezone=True))" in await proposed(run, Shift)


async def test_no_table_of_another_service_is_dropped(url: SecretStr, scripts: Path) -> None:
    async with opened(url) as (_database, run):
        await run(alembic(scripts, lambda config: command.revision(config, autogenerate=True)))
        await run(alembic(scripts, lambda config: command.upgrade(config, "head")))
        code = await proposed(run, Shift)
        assert "create_table('test_shifts'" in code
        assert "drop" not in code


async def test_the_way_back_drops_the_applications_tables(url: SecretStr, scripts: Path) -> None:
    async with opened(url) as (_database, run):
        await run(alembic(scripts, lambda config: command.revision(config, autogenerate=True)))
        await run(alembic(scripts, lambda config: command.upgrade(config, "head")))
        await run(alembic(scripts, lambda config: command.downgrade(config, "base")))
        left = set(await run(lambda connection: set(names(connection))))
        assert "reviews" in left
        assert not {"review_labels", "review_notes"} & left


async def test_a_table_in_another_schema_is_compared_whatever_its_name(url: SecretStr) -> None:
    async with opened(url) as (_database, run):

        def compared(connection: Connection) -> list[bool]:
            include = application_migrations(connection)["include_object"]
            tables = [Table("reviews", MetaData(), schema=name) for name in (None, "public", "app")]
            return [include(table, "reviews", "table", False, None) for table in tables]

        assert await run(compared) == [False, False, True]


async def test_the_librarys_revisions_come_first(url: SecretStr) -> None:
    async with Database.from_url(url) as database:
        async with database.engine.begin() as connection:
            await connection.execute(text("UPDATE recollect_version SET version_num = '0001'"))
        async with database.engine.connect() as connection:
            with pytest.raises(SchemaOutdated, match="recollect db migrate"):
                await connection.run_sync(application_migrations)
