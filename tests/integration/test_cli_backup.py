"""`recollect db dump` and `recollect db restore`, on real databases."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from domain import EmbeddingMismatch
from repositories import Database, migrations
from repositories.cli.app import app
from repositories.testing.factories import KnowledgeChunkFactory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydantic import SecretStr

    from repositories.testing.servers import TestServer

    Recollect = Callable[..., Result]


@pytest.fixture
def recollect(monkeypatch: pytest.MonkeyPatch) -> Recollect:
    def run(url: SecretStr, *arguments: str) -> Result:
        monkeypatch.setenv("DATABASE_URL", url.get_secret_value())
        return CliRunner().invoke(app, ["db", *arguments])

    return run


def add_chunk(url: SecretStr, **values: object) -> None:
    async def add() -> None:
        async with Database.from_url(url) as database, database.unit_of_work() as uow:
            uow.knowledge.add(KnowledgeChunkFactory.build(**values))
            await uow.commit()

    asyncio.run(add())


def count_chunks(url: SecretStr) -> int:
    async def count() -> int:
        async with Database.from_url(url) as database, database.reader() as view:
            return await view.knowledge.count()

    return asyncio.run(count())


def test_a_database_is_dumped_and_restored_into_another_database(
    recollect: Recollect, servers: dict[int, TestServer], tmp_path: Path
) -> None:
    source, target, file = servers[18].clone(), servers[18].empty(), str(tmp_path / "backup")
    add_chunk(source)
    dumped = recollect(source, "dump", file)
    assert (dumped.exit_code, dumped.stderr) == (0, "")
    rows = f"{file} holds 2 rows at revision {migrations.head()}"
    assert f"{rows} of the database that DATABASE_URL names" in dumped.stdout
    restored = recollect(target, "restore", file)
    assert (restored.exit_code, restored.stderr) == (0, "")
    assert f"restored 2 rows at revision {migrations.head()} into" in restored.stdout
    assert count_chunks(target) == 1

    again = recollect(target, "restore", file)
    assert again.exit_code == 1
    assert again.stderr.startswith("recollect: the database has rows already, in knowledge: ")
    unconfirmed = recollect(target, "restore", file, "--replace")
    assert (unconfirmed.exit_code, "pass --yes to confirm" in unconfirmed.stderr) == (1, True)
    add_chunk(target)
    assert recollect(target, "restore", file, "--replace", "--yes").exit_code == 0
    assert count_chunks(target) == 1


def test_a_dump_or_restore_that_fails_ends_with_one_sentence(
    recollect: Recollect, servers: dict[int, TestServer], tmp_path: Path
) -> None:
    url, file = servers[18].clone(), tmp_path / "backup"
    file.write_bytes(b"PK\x03\x04")
    for arguments, words in (
        (["restore", str(file)], "this file is not a backup"),
        (["restore", str(tmp_path / "nothing")], "cannot be read: No such file or directory"),
        (["dump", str(tmp_path / "no" / "where")], "cannot be written: No such file or directory"),
        (
            ["dump", str(file), "--force", "--tenant", "acme"],
            "the database has no rows of the tenant 'acme'",
        ),
        (["dump", str(file), "--force", "--tenant", "a'b"], "a tenant is 1 to 100"),
        (["dump", str(file)], f"{file} exists; pass --force to overwrite it"),
    ):
        ended = recollect(url, *arguments)
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert ended.stderr.startswith("recollect: ")
        assert words in " ".join(ended.stderr.split())
    assert file.read_bytes() == b"PK\x03\x04"


def test_json_has_the_rows_and_the_revision_and_force_overwrites(
    recollect: Recollect, servers: dict[int, TestServer], tmp_path: Path
) -> None:
    source, target, file = servers[18].clone(), servers[18].empty(), tmp_path / "backup"
    add_chunk(source)
    assert recollect(source, "dump", str(file)).exit_code == 0
    first = file.read_bytes()
    dumped = json.loads(recollect(source, "dump", str(file), "--force", "--json").stdout)
    assert file.read_bytes() != first
    assert dumped == {
        "file": str(file),
        "bytes": file.stat().st_size,
        "database": "the database that DATABASE_URL names",
        "rows": 2,
        "tenant": None,
        "revision": migrations.head(),
    }
    restored = json.loads(recollect(target, "restore", str(file), "--json").stdout)
    assert (restored["rows"], restored["revision"]) == (2, migrations.head())


def test_the_limit_for_the_unpacked_backup_can_be_set(
    recollect: Recollect, servers: dict[int, TestServer], tmp_path: Path
) -> None:
    source, target, file = servers[18].clone(), servers[18].empty(), str(tmp_path / "backup")
    add_chunk(source, content="word " * 300_000)
    assert recollect(source, "dump", file).exit_code == 0
    refused = recollect(target, "restore", file, "--max-unpacked-mb", "1")
    assert refused.exit_code == 1
    assert "more than 1,048,576 bytes" in refused.stderr
    assert recollect(target, "restore", file, "--max-unpacked-mb", "2").exit_code == 0
    assert count_chunks(target) == 1


def test_the_record_of_the_embedding_model_is_shown_and_cleared(
    recollect: Recollect, servers: dict[int, TestServer]
) -> None:
    url = servers[18].clone()

    async def agree(model: str) -> None:
        async with Database.from_url(url) as database, database.unit_of_work() as uow:
            await uow.embedding_metadata.agree_on_embeddings(
                provider="a provider", model=model, dimensions=database.dimensions
            )
            await uow.commit()

    assert "has embeddings of an unspecified model" in recollect(url, "embeddings").stdout
    asyncio.run(agree("the old one"))
    shown = json.loads(recollect(url, "embeddings", "--json").stdout)
    assert (shown["provider"], shown["model"], shown["cleared"]) == (
        "a provider",
        "the old one",
        False,
    )
    unconfirmed = recollect(url, "embeddings", "--clear")
    assert unconfirmed.exit_code != 0
    assert "pass --yes to confirm" in unconfirmed.stderr
    with pytest.raises(EmbeddingMismatch):
        asyncio.run(agree("the new one"))
    cleared = recollect(url, "embeddings", "--clear", "--yes")
    assert (cleared.exit_code, cleared.stderr) == (0, "")
    assert "cleared; the record was a provider the old one with" in cleared.stdout
    asyncio.run(agree("the new one"))
