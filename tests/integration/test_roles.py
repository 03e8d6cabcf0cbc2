"""Roles with least rights: each can do all that it is for, and nothing else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url, text
from typer.testing import CliRunner

from domain import AccessDenied, ConfigurationError, MigrationFailed, ReadOnly
from repositories import Database, migrations, operations
from repositories.cli.app import app
from repositories.operations import Roles
from repositories.postgres.errors import translating
from tests.contract.calls import OPERATIONS, fill
from tests.contract.ports import all_operations
from tests.contract.suites import samples
from tests.integration.migrations.support import as_superuser, execute, opened

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer

PASSWORDS = {name: SecretStr(f"{name}-pass$word'") for name in Roles().names()}


@dataclass(frozen=True)
class Place:
    """A database with roles of its own: they belong to the whole server."""

    url: SecretStr
    roles: Roles
    admin: SecretStr

    def url_of(self, purpose: str, password: str | None = None) -> SecretStr:
        secret = password or PASSWORDS[purpose].get_secret_value()
        url = make_url(self.url.get_secret_value()).set(
            username=self.roles.names()[purpose], password=secret
        )
        return SecretStr(url.render_as_string(hide_password=False))


def unused_names() -> Roles:
    suffix = uuid4().hex[:12]
    return Roles(
        migrator=f"migrator_{suffix}",
        application=f"application_{suffix}",
        reader=f"reader_{suffix}",
    )


@pytest.fixture(scope="module")
def place(servers: dict[int, TestServer]) -> Place:
    """A database whose roles were set up by a superuser."""
    url = servers[18].clone()
    place = Place(url, unused_names(), as_superuser(servers[18], url))

    async def set_up() -> None:
        async with opened(place.admin) as engine:
            assert await operations.set_up_roles(engine, place.roles, PASSWORDS) == list(
                place.roles.names().values()
            )
            assert await operations.set_up_roles(engine, place.roles, PASSWORDS) == [], (
                "doing it again changes nothing"
            )

    asyncio.run(set_up())
    return place


async def do(url: SecretStr, *statements: str) -> Any:
    with translating():
        async with opened(url) as engine, engine.connect() as connection:
            results = [await connection.execute(text(statement)) for statement in statements]
            return results[-1].scalar() if results[-1].returns_rows else None


async def change(url: SecretStr, statement: str) -> None:
    async with opened(url) as engine, engine.begin() as connection:
        await connection.execute(text(statement))


@pytest.mark.parametrize("isolated", [False, True], ids=["as-it-is", "behind-row-level-security"])
async def test_the_application_does_every_operation_and_the_reader_every_read(
    place: Place, isolated: bool
) -> None:
    async with opened(place.url_of("migrator")) as engine:
        await (
            operations.enable_row_level_security(engine)
            if isolated
            else operations.disable_row_level_security(engine)
        )
    tenant = f"tenant-{isolated}"
    async with Database.from_url(
        place.url_of("application"), row_level_security=isolated
    ) as database:
        data = await fill(database, tenant, 2)
        for _, call in OPERATIONS.values():
            async with database.unit_of_work(tenant=tenant) as uow:
                await call(uow, data)
        assert (await database.health()).row_level_security is isolated
    async with Database.from_url(place.url_of("reader"), row_level_security=isolated) as database:
        for operation in all_operations():
            unit, _, name = operation.partition(".")
            if unit == "view":
                async with database.reader(tenant=tenant) as view:
                    await OPERATIONS[name][1](view, data)  # type: ignore[arg-type]  # it reads
        async with database.unit_of_work(tenant=tenant) as uow:
            uow.reviews.add(samples.review())
            with pytest.raises((AccessDenied, ReadOnly)):
                await uow.flush()


NOBODY_MAY = {
    "create a table": "CREATE TABLE mine (a int)",
    "create a function": "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "create a schema": "CREATE SCHEMA mine",
    "drop": "DROP TABLE reviews",
    "alter": "ALTER TABLE reviews ADD COLUMN mine int",
    "truncate": "TRUNCATE findings",
    "delete shared patterns": "DELETE FROM global_patterns",
    "delete the record of embeddings": "DELETE FROM embedding_metadata",
    "switch off policies": "ALTER TABLE reviews DISABLE ROW LEVEL SECURITY",
    "index": "CREATE INDEX ON reviews (repo)",
    "lie about the revision": "UPDATE recollect_version SET version_num = '0001'",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'true'",
    "write a file": "COPY (SELECT 1) TO '/tmp/mine'",
    "read a file": "SELECT pg_read_file('/etc/passwd')",
    "make a role": "CREATE ROLE mine",
    "become another": "SET ROLE postgres",
    "write what the server logs": "SET log_statement = 'all'",
}


async def test_a_role_that_cannot_create_roles_is_told_which_one_can(place: Place) -> None:
    async with opened(place.url_of("migrator")) as engine:
        with pytest.raises(AccessDenied, match="connect as a superuser, or as the owner"):
            await operations.set_up_roles(engine, unused_names())


@pytest.mark.parametrize("purpose", ["application", "reader"])
@pytest.mark.parametrize(
    "statement", NOBODY_MAY.values(), ids=[name.replace(" ", "-") for name in NOBODY_MAY]
)
async def test_neither_application_nor_reader_may(
    place: Place, purpose: str, statement: str
) -> None:
    with pytest.raises((AccessDenied, MigrationFailed)) as refusal:
        await do(place.url_of(purpose), statement)
    assert getattr(refusal.value, "sqlstate", None) == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO reviews (id, repo, pr_number) VALUES (gen_random_uuid(), 'r', 1)",
        "UPDATE reviews SET conclusion = 'mine'",
        "DELETE FROM reviews",
        "SELECT FROM reviews FOR UPDATE",
        "CREATE TEMP TABLE mine (a int)",
    ],
)
async def test_the_reader_may_not_write(place: Place, statement: str) -> None:
    with pytest.raises(AccessDenied):
        await do(place.url_of("reader"), statement)


async def test_deletes_without_the_privilege_are_refused_and_change_nothing(place: Place) -> None:
    application = place.roles.application
    async with Database.from_url(place.url_of("migrator")) as database:
        row_level_security = (await database.health()).row_level_security
    async with Database.from_url(
        place.url_of("application"), row_level_security=row_level_security
    ) as database:
        review = samples.review()
        memory = samples.memory(stale=True)
        async with database.unit_of_work(tenant="undeleted") as uow:
            uow.reviews.add(review)
            await uow.memories.write(memory)
            await uow.commit()
        await change(place.admin, f"REVOKE DELETE ON reviews, learning_memories FROM {application}")
        try:
            with pytest.raises(AccessDenied):
                await database.delete_stale_memories(tenant="undeleted")
            with pytest.raises(AccessDenied):
                await database.delete_review(review.id, tenant="undeleted")
        finally:
            await change(
                place.admin, f"GRANT DELETE ON reviews, learning_memories TO {application}"
            )
        async with database.reader(tenant="undeleted") as view:
            assert (await view.reviews.count(), await view.memories.count()) == (1, 1)
        assert await database.delete_review(review.id, tenant="undeleted")


async def test_a_temporary_table_of_the_application_hides_none_of_ours(place: Place) -> None:
    hidden = await do(
        place.url_of("application"),
        "CREATE TEMP TABLE reviews AS SELECT 'mine' AS conclusion",
        "SELECT count(*) FROM reviews WHERE conclusion = 'mine'",
    )
    assert hidden == 0


async def test_the_migrator_migrates_and_what_it_creates_is_the_others_to_use(place: Place) -> None:
    async with opened(place.url_of("migrator")) as engine:
        await migrations.rollback(engine)
        assert await migrations.migrate(engine) == migrations.head()
        assert await migrations.check(engine) == []
        await execute(engine, "CREATE TABLE later (a int)")
    try:
        await do(
            place.url_of("application"),
            "INSERT INTO later VALUES (1)",
            "UPDATE later SET a = 2",
            "DELETE FROM later",
        )
        assert await do(place.url_of("reader"), "SELECT count(*) FROM later") == 0
        with pytest.raises(AccessDenied):
            await do(place.url_of("application"), "TRUNCATE later")
    finally:
        await do(place.url_of("migrator"), "DROP TABLE later")
    for statement in (
        "CREATE ROLE mine",
        "CREATE DATABASE mine",
        "COPY (SELECT 1) TO PROGRAM 'true'",
    ):
        with pytest.raises(AccessDenied):
            async with opened(place.url_of("migrator")) as engine:
                with translating():
                    async with engine.connect() as connection:
                        await connection.execution_options(isolation_level="AUTOCOMMIT")
                        await connection.execute(text(statement))


async def test_the_migrator_runs_the_revisions_of_an_application(server: TestServer) -> None:
    url = server.clone()
    place = Place(url, unused_names(), as_superuser(server, url))
    async with opened(url) as engine:
        await execute(engine, "CREATE TABLE alembic_version (version_num text)")
    async with opened(place.admin) as engine:
        await operations.set_up_roles(engine, place.roles, PASSWORDS)
    await change(place.url_of("migrator"), "INSERT INTO alembic_version VALUES ('1')")
    for purpose in ("application", "reader"):
        assert await do(place.url_of(purpose), "SELECT version_num FROM alembic_version") == "1"
        with pytest.raises(AccessDenied):
            await do(place.url_of(purpose), "DELETE FROM alembic_version")


async def test_whoever_else_may_log_in_may_do_nothing(place: Place) -> None:
    stranger = f"stranger_{uuid4().hex[:12]}"
    async with opened(place.admin) as admin:
        await execute(admin, f"CREATE ROLE {stranger} LOGIN PASSWORD 'stranger-password'")
    strangers = make_url(place.url.get_secret_value()).set(
        username=stranger, password="stranger-password"
    )
    url = SecretStr(strangers.render_as_string(hide_password=False))
    for statement in (
        "SELECT FROM reviews",
        "CREATE TABLE mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
    ):
        with pytest.raises(AccessDenied):
            await do(url, statement)


async def test_an_owner_who_is_no_superuser_can_set_roles_up(
    servers: dict[int, TestServer],
) -> None:
    url, owner = servers[18].clone(), f"owner_{uuid4().hex[:12]}"
    admin, name = as_superuser(servers[18], url), make_url(url.get_secret_value())
    async with opened(admin) as engine:
        await execute(
            engine,
            f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'owner-password' IN ROLE "
            f"{name.username}",
            f"ALTER DATABASE {name.database} OWNER TO {owner}",
        )
    mine = SecretStr(
        name.set(username=owner, password="owner-password").render_as_string(hide_password=False)
    )
    place = Place(url, unused_names(), admin)
    async with opened(mine) as engine:
        await operations.set_up_roles(engine, place.roles, PASSWORDS)
        await operations.set_up_roles(engine, place.roles)
    async with (
        Database.from_url(place.url_of("application")) as database,
        database.unit_of_work() as uow,
    ):
        uow.reviews.add(samples.review())
        await uow.commit()


async def test_a_role_that_may_more_is_not_taken_for_one_of_ours(place: Place) -> None:
    async with opened(place.admin) as engine:
        with pytest.raises(
            ConfigurationError, match="the role postgres exists and has more rights than it should"
        ):
            await operations.set_up_roles(engine, Roles(migrator="postgres"))


@pytest.mark.parametrize(
    ("roles", "passwords"),
    [
        (Roles(reader="pg_reader"), {}),
        (Roles(reader='reader"; DROP TABLE reviews'), {}),
        (Roles(reader="recollect_application"), {}),
        (Roles(), {"reader": SecretStr("canary")}),
        (Roles(), {"reader": SecretStr("canary-canäry")}),
        (Roles(), {"postgres": SecretStr("canary-canary")}),
    ],
)
async def test_names_and_passwords_that_are_not_fit_are_refused_and_not_repeated(
    place: Place, roles: Roles, passwords: dict[str, SecretStr]
) -> None:
    async with opened(place.admin) as engine:
        with pytest.raises(ConfigurationError) as refusal:
            await operations.set_up_roles(engine, roles, passwords)
    assert "canary" not in str(refusal.value)


def test_the_command_prints_the_passwords_that_it_generates_and_no_others(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", place.admin.get_secret_value())
    monkeypatch.setenv("RECOLLECT_READER_PASSWORD", PASSWORDS["reader"].get_secret_value())
    options = [f"--{purpose}={name}" for purpose, name in unused_names().names().items()]
    result = CliRunner().invoke(app, ["db", "roles", "--generate-passwords", *options])
    assert result.exit_code == 0, result.stderr
    assert [line.partition("=")[0] for line in result.stdout.splitlines()] == [
        "RECOLLECT_MIGRATOR_PASSWORD",
        "RECOLLECT_APPLICATION_PASSWORD",
    ]
    again = CliRunner().invoke(app, ["db", "roles", *options])
    assert (again.exit_code, again.stdout, "the roles exist" in again.stderr) == (0, "", True)
    assert PASSWORDS["reader"].get_secret_value() not in result.output + again.output
