"""Row-level security: the server shows a transaction the rows of one tenant only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio
from pydantic import SecretStr
from sqlalchemy import make_url, text
from typer.testing import CliRunner

from domain import AccessDenied, RowLevelSecurityRequired, SchemaOutdated, where
from domain.schema.registries import metadata
from repositories import Database, migrations, operations
from repositories.cli.app import app
from repositories.postgres.database_info import TENANT
from repositories.postgres.errors import translating
from repositories.testing.statements import statements_of
from tests.contract.suites import samples
from tests.contract.suites.kinds import write
from tests.integration.migrations.support import as_superuser, execute, opened, write_revision

if TYPE_CHECKING:
    from pathlib import Path

    from repositories.testing.servers import TestServer

LONG_AGO = datetime(2010, 1, 1, tzinfo=UTC)
"""In no month's partition."""

TABLES = [table.name for table in metadata.sorted_tables if "tenant" in table.c]


@pytest.fixture(scope="module")
def url(server: TestServer) -> SecretStr:
    """A database with row-level security, and a review of each of two tenants."""
    url = server.clone()

    async def prepare() -> None:
        async with Database.from_url(url, migrate=True, row_level_security=True) as database:
            for tenant in ("ours", "theirs"):
                await write(
                    database,
                    samples.review(conclusion=tenant),
                    samples.event(created_at=LONG_AGO),
                    tenant=tenant,
                )

    asyncio.run(prepare())
    return url


@pytest_asyncio.fixture
async def isolated(url: SecretStr) -> AsyncIterator[Database]:
    """That database, open, with a single connection.

    Tests do not commit their rows there.
    """
    async with Database.from_url(
        url, row_level_security=True, pool_size=1, max_overflow=0
    ) as database:
        yield database


async def as_tenant(database: Database, tenant: str | None, statement: str, **values: Any) -> Any:
    """Return the rows of a statement that has no predicate of its own, or how many it changed.

    Nothing is committed.
    """
    with translating():
        async with database.engine.connect() as connection:
            if tenant is not None:
                await connection.execution_options(**{TENANT: tenant})
            result = await connection.execute(text(statement), values)
            return result.all() if result.returns_rows else result.rowcount


async def test_without_a_tenant_there_are_no_rows(isolated: Database) -> None:
    for table in (*TABLES, "telemetry_events_default"):
        assert await as_tenant(isolated, None, f"SELECT tenant FROM {table}") == []


async def test_a_statement_without_a_predicate_meets_the_tenants_rows_alone(
    isolated: Database,
) -> None:
    assert await as_tenant(isolated, "ours", "SELECT conclusion FROM reviews") == [("ours",)]
    assert await as_tenant(isolated, "ours", "SELECT tenant FROM telemetry_events") == [("ours",)]
    assert await as_tenant(isolated, "ours", "SELECT tenant FROM telemetry_events_default") == [
        ("ours",)
    ]
    assert await as_tenant(isolated, "ours", "UPDATE reviews SET conclusion = 'mine'") == 1
    assert await as_tenant(isolated, "ours", "DELETE FROM reviews") == 1
    assert await as_tenant(isolated, "nobody", "DELETE FROM reviews") == 0


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO reviews (tenant, id, repo, pr_number) VALUES ('theirs', :id, 'r', 1)",
        "UPDATE reviews SET tenant = 'theirs'",
        """INSERT INTO reviews (tenant, id, repo, pr_number) VALUES ('theirs', :id, 'r', 1)
           ON CONFLICT (tenant, id) DO UPDATE SET conclusion = 'mine'""",
        """INSERT INTO telemetry_events_default (tenant, id, repo, event_type, model, conclusion)
           VALUES ('theirs', :id, 'r', 'e', 'm', 'c')""",
    ],
    ids=["insert", "update", "upsert", "partition"],
)
async def test_a_row_of_another_tenant_cannot_be_written(
    isolated: Database, statement: str
) -> None:
    async with isolated.reader(tenant="theirs") as view:
        [theirs] = await view.reviews.list()
    for key in (theirs.id, uuid4()):
        with pytest.raises(
            AccessDenied, match="row-level security refuses a row of another"
        ) as refusal:
            await as_tenant(
                isolated, "ours", statement, **({"id": key} if ":id" in statement else {})
            )
        assert refusal.value.sqlstate == "42501"


async def test_the_tenant_ends_with_its_transaction_whoever_uses_the_connection_next(
    isolated: Database,
) -> None:
    async def seen(tenant: str) -> list[str]:
        async with isolated.reader(tenant=tenant) as view:
            return [review.conclusion for review in await view.reviews.list(where("repo").exists())]

    # The same prepared statement on the same connection.
    assert [await seen(tenant) for tenant in ("ours", "theirs", "nobody", "ours")] == [
        ["ours"],
        ["theirs"],
        [],
        ["ours"],
    ]
    assert await as_tenant(isolated, None, "SELECT tenant FROM reviews") == []
    async with isolated.unit_of_work(tenant="theirs"):
        pass
    assert await as_tenant(isolated, None, "SELECT tenant FROM reviews") == [], (
        "a transaction that never began leaves nothing"
    )


async def test_naming_the_tenant_takes_no_message_of_its_own(isolated: Database) -> None:
    sent: list[str] = []
    async with isolated.read_engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        driver.add_query_logger(lambda query: sent.append(query.query))
    with statements_of(isolated) as statements:
        async with isolated.reader(tenant="ours") as view:
            assert await view.reviews.count() == 1
    begin, rollback = sent[-2:]
    assert (begin[:5], begin.partition("; ")[2], rollback) == (
        "BEGIN",
        "SET LOCAL recollect.tenant = 'ours';",
        "ROLLBACK;",
    )
    assert len(statements) == 1


async def test_committed_operations_can_be_looked_up_under_row_level_security(
    isolated: Database,
) -> None:
    operation = uuid4()
    async with isolated.unit_of_work(tenant="ours", operation_id=operation) as uow:
        await uow.commit()
    assert await isolated.outcome(operation, tenant="ours")
    assert not await isolated.outcome(operation, tenant="theirs")


async def test_behind_a_pooler_the_tenant_is_set_as_well(url: SecretStr) -> None:
    async with Database.from_url(url, row_level_security=True, pooler="pgbouncer") as database:
        for tenant in ("ours", "theirs"):
            async with database.unit_of_work(tenant=tenant) as uow:
                assert [review.conclusion for review in await uow.reviews.list()] == [tenant]


async def test_whoever_did_not_ask_for_it_works_behind_it_too(url: SecretStr) -> None:
    async with Database.from_url(url) as database, database.reader(tenant="ours") as view:
        assert await view.reviews.count() == 1
        assert (await database.health()).row_level_security


async def test_what_row_level_security_does_not_bind_is_refused(server: TestServer) -> None:
    url = server.clone()
    name = make_url(url.get_secret_value()).username
    async with opened(as_superuser(server, url)) as admin, opened(url) as owner:
        with pytest.raises(
            RowLevelSecurityRequired,
            match=r"does not cover author_cache and \d+ other tables: run `recollect db rls "
            r"enable`",
        ):
            await refused(url)
        assert set(TABLES) < set(await operations.enable_row_level_security(owner)), (
            "and partitions"
        )
        assert await operations.enable_row_level_security(owner) == []
        with pytest.raises(
            RowLevelSecurityRequired,
            match="does not apply to the role postgres, which is a superuser",
        ):
            await refused(as_superuser(server, url))
        await execute(admin, f"CREATE ROLE passing LOGIN BYPASSRLS PASSWORD 'p' IN ROLE {name}")
        try:
            with pytest.raises(
                RowLevelSecurityRequired, match="does not apply to the role passing"
            ):
                await refused(
                    SecretStr(
                        make_url(url.get_secret_value())
                        .set(username="passing", password="p")
                        .render_as_string(False)
                    )
                )
        finally:
            await execute(admin, "DROP ROLE passing")
        await execute(owner, "ALTER TABLE reviews NO FORCE ROW LEVEL SECURITY")
        with pytest.raises(RowLevelSecurityRequired, match="does not cover reviews"):
            await refused(url)
        await execute(
            owner,
            "ALTER TABLE reviews FORCE ROW LEVEL SECURITY",
            "CREATE POLICY lax ON reviews USING (true)",
        )
        with pytest.raises(RowLevelSecurityRequired, match="does not cover reviews"):
            await refused(url)


async def refused(url: SecretStr) -> None:
    async with Database.from_url(url, row_level_security=True):
        pass


async def test_check_and_health_tell_what_is_not_covered(server: TestServer) -> None:
    url = server.clone()
    async with opened(url) as owner, opened(as_superuser(server, url)) as admin:
        assert await migrations.check(owner) == [], "nothing is missing where it is off"
        await operations.enable_row_level_security(owner)
        assert await migrations.check(owner) == []
        await execute(
            owner,
            "CREATE TABLE telemetry_events_2090 PARTITION OF telemetry_events FOR VALUES FROM "
            "('2090-01-01') TO ('2091-01-01')",
        )
        await execute(owner, "CREATE VIEW bound WITH (security_invoker) AS SELECT * FROM reviews")
        await execute(admin, "CREATE VIEW leaking AS SELECT * FROM reviews")
        problems = [
            "row-level security does not cover table telemetry_events_2090",
            "view leaking reads tenants' rows with its owner's rights: make it security_invoker",
        ]
        assert await migrations.check(owner) == problems
        async with Database.from_url(url) as database:
            assert [problem.what for problem in (await database.health()).problems] == problems
        await execute(admin, "DROP VIEW leaking")
        assert await migrations.migrate(owner) == migrations.head(), "which covers what is new"
        assert await migrations.check(owner) == []
        assert {*TABLES, "telemetry_events_2090"} < set(
            await operations.disable_row_level_security(owner)
        )
        assert await operations.disable_row_level_security(owner) == []
        assert await migrations.check(owner) == []


async def test_a_view_shows_a_tenants_rows_unless_a_superuser_owns_it(
    server: TestServer, isolated: Database, url: SecretStr
) -> None:
    async with opened(as_superuser(server, url)) as admin, opened(url) as owner:
        await execute(owner, "CREATE VIEW owners AS SELECT tenant FROM reviews")
        await execute(
            admin,
            "CREATE VIEW leaking AS SELECT tenant FROM reviews",
            "GRANT SELECT ON leaking TO PUBLIC",
        )
        try:
            assert await as_tenant(isolated, "ours", "SELECT * FROM owners") == [("ours",)]
            assert len(await as_tenant(isolated, "ours", "SELECT * FROM leaking")) == 2, (
                "which check tells"
            )
            await execute(admin, "ALTER VIEW leaking SET (security_invoker)")
            assert await as_tenant(isolated, "ours", "SELECT * FROM leaking") == [("ours",)]
        finally:
            await execute(admin, "DROP VIEW owners, leaking")


async def test_an_empty_database_is_refused(server: TestServer) -> None:
    async with opened(server.empty()) as owner:
        with pytest.raises(SchemaOutdated, match="recollect db migrate"):
            await operations.enable_row_level_security(owner)


async def test_migrations_see_every_tenants_rows_and_leave_everything_covered(
    server: TestServer, tmp_path: Path
) -> None:
    url = server.clone()
    async with Database.from_url(url, migrate=True, row_level_security=True) as database:
        await write(database, samples.review(), tenant="ours")
        await write(database, samples.review(), tenant="theirs")
    fill = """op.execute("UPDATE reviews SET conclusion = 'filled'")"""
    write_revision(tmp_path, fill, down_revision=migrations.head(), revision="9001")
    async with opened(url) as owner, opened(as_superuser(server, url)) as admin:
        await migrations.migrate(owner, directory=tmp_path)
        async with admin.connect() as connection:
            assert (await connection.scalars(text("SELECT conclusion FROM reviews"))).all() == [
                "filled"
            ] * 2
        await migrations.rollback(owner, "0006", directory=tmp_path)
        await migrations.migrate(owner)
        assert await migrations.check(owner) == []
    await refused(url)


async def test_operations_of_every_tenant_are_purged_under_row_level_security(
    server: TestServer,
) -> None:
    url = server.clone()
    now, day = datetime.now(UTC), timedelta(days=1)
    aged = (
        "INSERT INTO committed_operations (operation_id, tenant, created_at) VALUES "
        "(gen_random_uuid(), :tenant, :began)"
    )
    async with Database.from_url(url, migrate=True, row_level_security=True) as database:
        for tenant in ("ours", "theirs"):
            async with database.engine.connect() as connection:
                await connection.execution_options(**{TENANT: tenant})
                await connection.execute(
                    text(aged), [{"tenant": tenant, "began": now - age * day} for age in (8, 6)]
                )
                await connection.commit()
        assert (await database.maintain(keep_operations=timedelta(days=7))).operations == 2
        assert await migrations.check(database.engine) == [], "the owner is bound again"
        assert await as_tenant(database, "theirs", "SELECT tenant FROM committed_operations") == [
            ("theirs",)
        ]


async def test_months_of_every_tenant_are_created_and_dropped_under_row_level_security(
    server: TestServer,
) -> None:
    url = server.clone()
    async with Database.from_url(url, migrate=True, row_level_security=True) as database:
        for tenant in ("ours", "theirs"):
            old, older = (datetime(year, 6, 15, tzinfo=UTC) for year in (2020, 2010))
            await write(
                database,
                samples.event(created_at=old),
                samples.event(created_at=older),
                tenant=tenant,
            )
        dropped = await operations.drop_before(database.engine, datetime(2015, 1, 1, tzinfo=UTC))
        report = await operations.maintain(database.engine)
        assert (dropped.deleted, report.moved, "2020-06" in report.created) == (2, 2, True)
        assert await migrations.check(database.engine) == [], (
            "the new month is covered, and the owner bound again"
        )
        assert await as_tenant(database, "ours", "SELECT tenant FROM telemetry_events_2020_06") == [
            ("ours",)
        ]


def test_the_command_switches_it_on_and_off(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", server.clone().get_secret_value())

    def rls(command: str) -> str:
        result = CliRunner().invoke(app, ["db", "rls", command])
        assert result.exit_code == 0, result.stderr
        return result.stdout.partition(": ")[2].strip()

    assert re.fullmatch("row-level security is on, [0-9]{2} tables changed", rls("enable"))
    assert rls("enable") == "row-level security is on, 0 tables changed"
    assert "row-level security" in CliRunner().invoke(app, ["db", "status"]).stdout
    assert re.fullmatch("row-level security is off, [0-9]{2} tables changed", rls("disable"))
