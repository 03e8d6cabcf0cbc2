"""Operations treat the tables of own entities as they treat the library's."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import (
    ARRAY,
    BIGINT,
    DATE,
    NUMERIC,
    VARCHAR,
    DateTime,
    Float,
    Integer,
    Numeric,
    String,
    Text,
    select,
    text,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlmodel import Field
from typer.testing import CliRunner

from domain import (
    ApplicationEntity,
    MigrationFailed,
    NotRegistered,
    ReferenceViolated,
    Review,
    where,
)
from examples.review_labels.labels import ReviewLabel, add_label
from examples.review_labels.notes import ReviewNote
from repositories import Database, FakeDatabase, migrations, operations
from repositories.bulk.writing import COPY_FROM
from repositories.cli.app import app
from repositories.testing.tables import create_application_tables
from tests.integration.migrations.support import newest

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import SecretStr

    from domain import DatabasePort
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
async def test_a_rollback_of_everything_waits_for_the_applications(url: SecretStr) -> None:
    await prepare(url)
    async with opened(url) as database:
        with pytest.raises(MigrationFailed, match=r"\(review_notes to reviews\): undo your"):
            await migrations.rollback(database.engine, "base")
        assert await migrations.current(database.engine) == migrations.head()
        async with database.engine.begin() as connection:
            await connection.execute(text("DROP TABLE review_notes"))
        assert await migrations.rollback(database.engine, "base") is None


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


class TypedRow(ApplicationEntity, table=True):
    """A row with columns whose types its author wrote."""

    __tablename__ = "test_typed_rows"
    labels: tuple[str, ...] = Field(sa_type=ARRAY(String))
    counts: tuple[int, ...] = Field(sa_type=ARRAY(Integer))
    prices: tuple[Decimal, ...] = Field(sa_type=ARRAY(Numeric))
    ratios: tuple[float, ...] = Field(sa_type=ARRAY(Float))
    times: tuple[datetime, ...] = Field(sa_type=ARRAY(DateTime(timezone=True)))
    gaps: tuple[str | None, ...] = Field(sa_type=ARRAY(Text))
    names: list[str] = Field(sa_type=ARRAY(Text))
    sizes: list[int | None] | None = Field(default=None, sa_type=ARRAY(BIGINT))
    options: dict[str, Any] = Field(sa_type=JSONB)
    at: datetime = Field(sa_type=DateTime(timezone=True))
    due: date
    days: tuple[date, ...] = Field(sa_type=ARRAY(DATE))
    reviewed: date | None = None
    person: UUID = Field(sa_type=postgresql.UUID)
    price: Decimal = Field(sa_type=NUMERIC(12, 2))
    size: int = Field(sa_type=BIGINT)
    body: bytes = Field(sa_type=BYTEA)
    name: str = Field(sa_type=VARCHAR)


def typed_row(number: int) -> TypedRow:
    return TypedRow(
        labels=("a", f"b{number}", ""),
        counts=(number, -1),
        prices=(Decimal("0.123456789012345678"), Decimal(number)),
        ratios=(number / 3, math.inf),
        times=(datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))),),
        gaps=("a", None),
        names=["ada", f"n{number}"],
        sizes=[2**40, None] if number % 3 else None,
        options={"n": number, "deep": [None, {"x": 1.5}]},
        at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=2))) + timedelta(minutes=number),
        due=date(2026, 1, 1) + timedelta(days=number),
        days=(date.min, date(2026, 2, number % 28 + 1), date.max),
        reviewed=None if number % 2 else date(2025, 12, 31),
        person=UUID(int=number),
        price=Decimal("1.25") + number,
        size=2**40 + number,
        body=bytes([0, 255, number]),
        name=f"row {number}",
    )


async def stored_and_filtered(database: DatabasePort, rows: list[TypedRow]) -> list[Any]:
    """Return the rows as they are read, and the results of filters, after three ways to write."""
    async with database.unit_of_work() as uow:
        uow.repository(TypedRow).add(rows[0])
        await uow.commit()
    async with database.unit_of_work() as uow:
        await uow.repository(TypedRow).add_many(rows[1:5])
        await uow.repository(TypedRow).add_many(rows[5:])
        await uow.commit()
    filters = [
        where("options", "n").greater_than(3),
        where("at").less_than(rows[2].at),
        where("due").less_than(rows[2].due),
        where("due").one_of([rows[0].due, rows[5].due]),
        where("reviewed").at_most(date(2025, 12, 31)),
        where("reviewed").is_null(),
        where("days").contains(date(2026, 2, 3)),
        where("days").contains_any([date(2026, 2, 3), date(2026, 3, 1)]),
        where("person").equals(UUID(int=3)),
        where("price").greater_than(Decimal("4.5")),
        where("size").one_of([2**40, 2**40 + 1]),
        where("name").contains_text("row 1"),
        where("labels").contains("b3"),
        where("labels").contains_any(["b1", "b2", "none"]),
        where("labels").contains_all(["a", "b4"]),
        where("names").contains_any(["n1", "n2", "none"]),
        where("sizes").contains(2**40),
        where("sizes").is_null(),
        ~where("labels").contains("b3"),
        where("counts").contains(3),
        where("counts").contains_all([-1, 5]),
        where("labels").exists(),
    ]
    async with database.reader() as view:
        repository = view.repository(TypedRow)
        read = await repository.list(limit=len(rows))
        fields = [field for field in TypedRow.model_fields if field != "created_at"]
        return [
            *([getattr(row, name) for name in fields] for row in read),
            *[await repository.count(condition) for condition in filters],
        ]


async def all_rows(database: Database) -> list[dict[str, Any]]:
    async with database.reader() as view:
        return [row.model_dump() for row in await view.repository(TypedRow).list(limit=1_000)]


async def test_columns_of_written_types_have_the_same_values_on_both_stores(
    url: SecretStr, tmp_path: Path
) -> None:
    rows = [typed_row(number) for number in range(COPY_FROM + 10)]
    fake = FakeDatabase(entities=[TypedRow])
    expected = await stored_and_filtered(fake, [row.model_copy() for row in rows])
    async with Database.from_url(url, entities=[TypedRow], migrate=True) as database:
        await create_application_tables(database)
        assert await stored_and_filtered(database, rows) == expected
        dumped = await all_rows(database)
        await database.dump(tmp_path / "backup")
        await database.restore(tmp_path / "backup", replace=True)
        assert await all_rows(database) == dumped
        assert len(dumped) == len(rows)


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


async def test_a_row_to_which_another_table_refers_is_not_deleted(url: SecretStr) -> None:
    async with Database.from_url(url) as database:
        async with database.engine.begin() as connection:
            await connection.exec_driver_sql(
                "CREATE TABLE exports (tenant text, review_id uuid,"
                " FOREIGN KEY (tenant, review_id) REFERENCES reviews (tenant, id))"
            )
        async with database.unit_of_work() as uow:
            review = uow.reviews.add(Review(repo="acme/api", pr_number=1))
            await uow.flush()
            await uow.execute(
                text("INSERT INTO exports VALUES (:tenant, :id)"),
                {"tenant": uow.tenant, "id": review.id},
            )
            await uow.commit()
        refused = "a row of exports would refer to a row that does not exist"
        async with database.unit_of_work() as uow:
            with pytest.raises(ReferenceViolated, match=refused):
                await uow.reviews.delete(review.id)
