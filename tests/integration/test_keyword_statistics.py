"""Keyword statistics of a table count the live rows only."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from domain import KnowledgeChunk, Match, where
from domain.errors import ConfigurationError
from domain.values.bm25 import Bm25
from repositories import Database, FakeDatabase, Settings
from repositories.postgres.engine import create_engine
from repositories.sql.bm25 import Access, is_one_word, query_parameters, statistics
from repositories.sql.bm25.statistics import corpus_statistics
from repositories.sql.explain import Explain
from repositories.sql.filters import FilterKey
from repositories.sql.hybrid import keyword_statement
from repositories.testing.statements import statements_of
from tests.contract.suites.samples import chunk

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from repositories.testing.servers import TestServer

KEPT = ("a deadline", "a deadline bounds every retry that waits for it", "no word of it")
COMPOUNDS = (
    "CREATE TEXT SEARCH DICTIONARY compounds (TEMPLATE = ispell, DictFile = ispell_sample, "
    "AffFile = ispell_sample)",
    "CREATE TEXT SEARCH CONFIGURATION compounds (COPY = simple)",
    "ALTER TEXT SEARCH CONFIGURATION compounds ALTER MAPPING FOR asciiword WITH compounds, simple",
)
"""A language whose dictionary finds words in a word."""

PADDING = " ".join(f"word{number}" for number in range(300))


async def _write(database: Database, *groups: Sequence[KnowledgeChunk]) -> None:
    async with database.unit_of_work() as uow:
        for group in groups:
            await uow.knowledge.add_many(group)
        await uow.commit()


async def _scores(database: Database, query: str = "deadline") -> Mapping[str, float]:
    async with database.reader() as view:
        return {hit.item.content: hit.score for hit in await view.knowledge.keyword_search(query)}


async def test_rows_that_were_deleted_change_no_score(database: Database) -> None:
    rows = [chunk(content=content) for content in KEPT]
    await _write(database, rows)
    fresh = await _scores(database)
    assert len(fresh) == 2
    async with database.unit_of_work() as uow:
        await uow.knowledge.reset()
        await uow.commit()
    # Behind many pages of rows that are gone: a sample of some of the pages sees none of those that
    # are left.
    await _write(
        database,
        [chunk(content=PADDING, repo="gone") for _ in range(400)],
        [chunk(content=content) for content in KEPT],
    )
    async with database.unit_of_work() as uow:
        await uow.knowledge.delete_where(where("repo").equals("gone"))
        await uow.commit()
    assert await _scores(database) == fresh


MANY = text("""
    INSERT INTO knowledge (tenant, id, repo, source, source_type, chunk_id, content, content_hash)
    SELECT tenant, gen_random_uuid(), '', 's', 'doc', number,
      concat_ws(' ', 'number', number, CASE WHEN number % 4 = 0 THEN 'quarter' END,
        CASE WHEN number % 15 = 5 THEN 'fifteenth' END,
        CASE WHEN number % 100 = 7 THEN 'hundredth' END),
      sha256(int4send(number))
    FROM unnest(ARRAY['ours', 'theirs']) AS tenant, generate_series(1, 6000) AS number
    WHERE tenant = 'ours' OR number <= 500""")


async def test_a_large_tenant_is_estimated_from_a_sample_of_its_own_rows(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(MANY)

    async def estimated(tenant: str) -> Mapping[str, Any]:
        statistics = corpus_statistics(KnowledgeChunk, 100, Access())
        parts = ", ".join(f"{name} AS MATERIALIZED ({sql})" for name, sql in statistics.items())
        read = text(f"WITH {parts} SELECT lexeme, df, n, rows_with, every FROM counted")
        query = "number quarter fifteenth hundredth"
        binds = {"tenant": tenant, "query": query, "language": "english"}
        async with database.engine.connect() as connection:
            return {row.lexeme: row for row in await connection.execute(read, binds)}

    estimates = {tenant: await estimated(tenant) for tenant in ("ours", "theirs")}
    n = estimates["ours"]["number"].n
    # 16 times 64 hashes tell the number of rows with a standard deviation of 3 %.
    assert 5_400 < n < 6_600
    assert estimates["ours"]["number"].df == n
    assert 0.15 < estimates["ours"]["quarter"].df / n < 0.35
    assert estimates["ours"]["hundredth"].df == 60
    # Up to 1,000 rows, and up to 1,000 rows with a word, are counted.
    assert estimates["theirs"]["number"].n == 500
    assert estimates["theirs"]["hundredth"].df == 5
    # A larger sample tells how many rows of a large tenant have a word of a fifteenth.
    assert (estimates["ours"]["fifteenth"].df, estimates["ours"]["fifteenth"].every) == (400, 128)
    monkeypatch.setattr(statistics, "_MANY_ROWS", 5_000)
    again = await estimated("ours")
    assert again["fifteenth"].every == 4 * 128
    assert 0.04 < again["fifteenth"].df / n < 0.1
    assert {word: again[word].df for word in ("number", "quarter", "hundredth")} == {
        word: estimates["ours"][word].df for word in ("number", "quarter", "hundredth")
    }


async def test_words_are_counted_through_the_index_before_the_first_analyze(
    database: Database,
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE knowledge SET (autovacuum_enabled = off)"))
        await connection.execute(MANY)
    words = " ".join(f"absent{number}" for number in range(100))
    async with database.reader(tenant="ours") as view:
        with view.explaining() as plans:
            await view.knowledge.keyword_search(f"{words} hundredth")
    [plan] = plans
    assert plan.rows_examined < 30 * 6_000, "not all rows for each of the words"


async def test_the_owner_of_a_table_is_searched_without_the_key_of_its_tenant(
    database: Database,
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(MANY)

    async def search(opened: Database, tenant: str) -> tuple[list[tuple[str, float]], bool]:
        with statements_of(opened) as statements:
            async with opened.reader(tenant=tenant) as view:
                hits = await view.knowledge.keyword_search("quarter hundredth", limit=20)
        [statement] = statements
        return [(hit.item.chunk_id, hit.score) for hit in hits], "@> ARRAY[chr(2)" in statement

    before = {tenant: await search(database, tenant) for tenant in ("ours", "theirs")}
    assert [by_key for _, by_key in before.values()] == [True, True]
    async with database.engine.begin() as connection:
        await connection.execute(text("ANALYZE knowledge"))
    async with Database(database.settings) as opened:
        assert await search(opened, "theirs") == before["theirs"]
        assert await search(opened, "ours") == (before["ours"][0], False)


CROWD = text("""
    INSERT INTO knowledge (tenant, id, repo, source, source_type, chunk_id, content, content_hash)
    SELECT 'tenant ' || number % 60, gen_random_uuid(), '', 's', 'doc', number,
      'number ' || number || ' of ' || number % 7, sha256(int4send(number))
    FROM generate_series(1, 12000) AS number""")


async def test_among_many_tenants_the_index_and_no_other_node_compares_keys(
    database: Database,
) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(CROWD)
        await connection.execute(text("ANALYZE knowledge"))
    statement = keyword_statement(
        *(KnowledgeChunk, Match.ANY, FilterKey(None), Access()),
        limit=10,
        explain=False,
        distinct=False,
    )
    binds = {"tenant": "tenant 7", "min_score": 0.0}
    binds |= query_parameters("number 7 of 5", Match.ANY, "english")
    async with database.engine.connect() as connection:
        [explained] = (await connection.execute(Explain(statement), binds)).scalar_one()
    plan = json.dumps(explained["Plan"])
    assert '"Index Name": "ix_knowledge_search_vector"' in plan
    assert not re.findall('"(?:Join )?Filter": "[^"]*string_to_array', plan)


@pytest.mark.parametrize("query", ["deadline", " Deadline ", "HTTP", "straße"])
def test_a_word_without_parts_is_one_word(query: str) -> None:
    assert is_one_word(query)


@pytest.mark.parametrize(
    "query",
    [
        *("", "a deadline", "parse_config", "getUserName", "client.ts", "2024", "x" * 20_001),
        *("größe", "한", "ﬁx"),
    ],
)
def test_several_words_and_words_with_parts_or_other_spellings_are_not_one_word(query: str) -> None:
    assert not is_one_word(query)


async def test_a_word_alone_scores_as_beside_words_that_do_not_count(database: Database) -> None:
    await _write(
        database, [chunk(content=content) for content in (*KEPT, "deadline after deadline")]
    )
    alone = await _scores(database)
    assert len(alone) == 3
    assert alone == await _scores(database, "the deadline")


@pytest.mark.parametrize("query", ["deadline", "unheard", "the"])
async def test_a_word_is_searched_in_one_statement_whatever_it_finds(
    database: Database, query: str
) -> None:
    await _write(database, [chunk(content=content) for content in KEPT])
    with statements_of(database) as statements:
        assert len(await _scores(database, query)) == (2 if query == "deadline" else 0)
    assert len(statements) == 1


async def test_a_word_of_which_a_dictionary_makes_several_is_found_by_each(
    server: TestServer,
) -> None:
    url = server.empty()
    engine = create_engine(Settings(url=url))
    async with engine.begin() as connection:
        for statement in COMPOUNDS:
            await connection.execute(text(statement))
    await engine.dispose()
    async with Database.from_url(url, migrate=True, language="compounds") as database:
        await _write(
            database,
            [
                chunk(content=content)
                for content in ("one foot", "two klubber", "a footballklubber", "neither")
            ],
        )
        scores = await _scores(database, "footballklubber")
    assert max(scores, key=scores.__getitem__) == "a footballklubber"
    assert scores.keys() == {"one foot", "two klubber", "a footballklubber"}


async def test_other_parameters_give_the_scores_of_the_fake(database: Database) -> None:
    rows = [
        chunk("a", "a pool of words", title="pool", summary="words of a pool"),
        chunk("b", "words " * 9, summary="a pool"),
        chunk("c", "a long text of other things, and a pool"),
    ]
    await _write(database, rows)
    settings = {"bm25_k1": 2.5, "bm25_b": 0.1, "bm25_title": 6.0, "bm25_summary": 1.5}
    ranking = Bm25(k1=2.5, b=0.1, title=6.0, summary=1.5)
    fake = FakeDatabase(dimensions=database.dimensions, bm25=ranking)
    async with fake.unit_of_work() as uow:
        await uow.knowledge.add_many(rows)
        await uow.commit()
    async with Database(database.settings.model_copy(update=settings)) as tuned:
        for query in ("pool", "pool words", "long words"):
            server, default = await _scores(tuned, query), await _scores(database, query)
            assert server != default
            async with fake.reader() as view:
                hits = await view.knowledge.keyword_search(query)
            assert server == {hit.item.content: pytest.approx(hit.score) for hit in hits}


@pytest.mark.parametrize("setting", ["bm25_k1", "bm25_b", "bm25_title", "bm25_summary"])
def test_parameters_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(ConfigurationError, match=setting):
        Settings(host="localhost", **{setting: -1.0})
    with pytest.raises(ConfigurationError):
        Bm25(**{setting.removeprefix("bm25_"): -1.0})
