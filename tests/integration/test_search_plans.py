"""Every search, on enough rows, goes through the index that was made for it.

The tenth time as the first.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from sqlalchemy import text

from domain import Corpus, Distance, Diversity, Match, Recency, SearchHits, SearchPlan, where
from repositories import Database
from repositories.sql.vector_index import VECTOR_INDEXES, tenant_index_name
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import chunk
from tests.integration.searchable import COMMON, RARE, REPO, ROWS, SMALL_REPO, fill

if TYPE_CHECKING:
    from repositories import ReadUnitOfWork
    from repositories.testing.servers import TestServer

Search = Callable[["ReadUnitOfWork"], Awaitable[SearchHits[Any]]]

DIMENSIONS = 64
EMBEDDING = [random.Random(7).uniform(-1, 1) for _ in range(DIMENSIONS)]
FEW_EDGES = {"hnsw_m": 8, "hnsw_ef_construction": 24}
"""A graph with fewer edges takes a third of the time to build, and the planner uses it alike."""

WORDS = f"{COMMON} {RARE} word200"
EXECUTIONS = 12
"""More than the five after which the server may turn to a plan that knows no values."""

GRAPH = tenant_index_name("knowledge", "default")
GRAPH_OF_MEMORIES = tenant_index_name("learning_memories", "default")
LEXEMES, KEY = "ix_knowledge_search_vector", "pk_knowledge"
COVERING, COVERING_OF_MEMORIES = VECTOR_INDEXES
HASHES = "ix_knowledge_tenant_text_hash"
"""The order of hashes gives a sample of a tenant's rows, for the statistics of keyword search."""
METADATA, OF_MEMORIES = "ix_knowledge_metadata", "ix_learning_memories_tenant_repo"
DOCS, FEW = where("source_type").equals("doc"), where("metadata", "n").equals(7)
"""Seven rows in eight, and one in two hundred."""

SEARCHES: dict[str, tuple[Search, set[str], bool]] = {
    "nearest chunks": (lambda view: view.knowledge.vector_search(EMBEDDING), {GRAPH}, False),
    "nearest chunks, with a threshold": (
        lambda view: view.knowledge.vector_search(EMBEDDING, min_score=0.1),
        {GRAPH},
        False,
    ),
    "nearest of few rows by repository": (
        lambda view: view.knowledge.vector_search(
            EMBEDDING, where=where("repo").equals(SMALL_REPO)
        ),
        {"ix_knowledge_tenant_repo_source"},
        True,
    ),
    "nearest of few rows by metadata": (
        lambda view: view.knowledge.vector_search(EMBEDDING, where=FEW),
        {METADATA},
        True,
    ),
    "nearest of most rows": (
        lambda view: view.knowledge.vector_search(EMBEDDING, where=DOCS),
        {GRAPH},
        False,
    ),
    "one word": (lambda view: view.knowledge.keyword_search(RARE), {LEXEMES, HASHES}, True),
    "one word, in most rows": (
        lambda view: view.knowledge.keyword_search(COMMON),
        {LEXEMES, HASHES},
        True,
    ),
    "one word, in few rows": (
        lambda view: view.knowledge.keyword_search(COMMON, where=FEW),
        {LEXEMES, HASHES, METADATA},
        True,
    ),
    "any of the words": (
        lambda view: view.knowledge.keyword_search(WORDS),
        {LEXEMES, HASHES},
        True,
    ),
    "all of the words": (
        lambda view: view.knowledge.keyword_search(f"{RARE} word200", match=Match.ALL),
        {LEXEMES, HASHES},
        True,
    ),
    "web search": (
        lambda view: view.knowledge.keyword_search(f'"{RARE}" OR word200', match=Match.WEB),
        {LEXEMES, HASHES},
        True,
    ),
    "any of the words, in most rows": (
        lambda view: view.knowledge.keyword_search(WORDS, where=DOCS),
        {LEXEMES, HASHES},
        True,
    ),
    "any of the words, in few rows": (
        lambda view: view.knowledge.keyword_search(WORDS, where=FEW),
        {LEXEMES, HASHES, METADATA},
        True,
    ),
    "any of the words, by kind": (
        lambda view: view.knowledge.keyword_search(WORDS, source_types=["doc"]),
        {LEXEMES, HASHES},
        True,
    ),
    "both": (
        lambda view: view.knowledge.hybrid_search(WORDS, EMBEDDING),
        {GRAPH, LEXEMES, HASHES},
        False,
    ),
    "both, of most rows": (
        lambda view: view.knowledge.hybrid_search(WORDS, EMBEDDING, where=DOCS),
        {GRAPH, LEXEMES, HASHES},
        False,
    ),
    "both, of few rows": (
        lambda view: view.knowledge.hybrid_search(WORDS, EMBEDDING, where=FEW),
        {METADATA, LEXEMES, HASHES},
        True,
    ),
    "both, newer first and diverse": (
        lambda view: view.knowledge.hybrid_search(
            WORDS, EMBEDDING, recency=Recency(), diversity=Diversity()
        ),
        {GRAPH, LEXEMES, HASHES},
        False,
    ),
    "nearest memories": (
        lambda view: view.memories.nearest(EMBEDDING, repo=REPO),
        {GRAPH_OF_MEMORIES},
        False,
    ),
    "nearest memories of a small repository": (
        lambda view: view.memories.nearest(EMBEDDING, repo=SMALL_REPO),
        {COVERING_OF_MEMORIES},
        True,
    ),
    "memories by words": (
        lambda view: view.memories.keyword_search(WORDS, repo=REPO),
        {"ix_learning_memories_search_vector", "ix_learning_memories_tenant_text_hash"},
        True,
    ),
    "memories of a small repository by words": (
        lambda view: view.memories.keyword_search(WORDS, repo=SMALL_REPO),
        {
            OF_MEMORIES,
            "ix_learning_memories_search_vector",
            "ix_learning_memories_tenant_text_hash",
        },
        True,
    ),
    "memories of a small repository by both": (
        lambda view: view.memories.hybrid_search(WORDS, EMBEDDING, repo=SMALL_REPO),
        {
            COVERING_OF_MEMORIES,
            OF_MEMORIES,
            "ix_learning_memories_search_vector",
            "ix_learning_memories_tenant_text_hash",
        },
        True,
    ),
    "memories by both": (
        lambda view: view.memories.hybrid_search(WORDS, EMBEDDING, repo=REPO),
        {
            GRAPH_OF_MEMORIES,
            "ix_learning_memories_search_vector",
            "ix_learning_memories_tenant_text_hash",
        },
        False,
    ),
    "findings by words": (
        lambda view: view.findings.keyword_search(WORDS),
        {"ix_findings_search_vector", "ix_findings_tenant_text_hash"},
        True,
    ),
    "a repository's findings by words": (
        lambda view: view.findings.keyword_search(WORDS, repo=REPO),
        {"ix_findings_search_vector", "ix_findings_tenant_text_hash"},
        True,
    ),
    "a small repository's findings by words": (
        lambda view: view.findings.keyword_search(WORDS, repo=SMALL_REPO),
        {
            "ix_findings_search_vector",
            "ix_findings_tenant_text_hash",
            "ix_findings_tenant_repo_severity",
        },
        True,
    ),
}

every_search = pytest.mark.parametrize(
    ("search", "indexes", "exact"), SEARCHES.values(), ids=SEARCHES
)


@pytest_asyncio.fixture(scope="module")
async def filled(server: TestServer) -> AsyncIterator[Database]:
    """A database with some thousand rows of each kind, open."""
    url = await asyncio.to_thread(server.empty)
    options: dict[str, Any] = {"embedding_dimensions": DIMENSIONS, **FEW_EDGES}
    async with Database.from_url(url, migrate=True, **options) as database:
        await fill(database)
        assert await database.isolate_tenant("default") == [GRAPH, GRAPH_OF_MEMORIES]
        yield database


@pytest_asyncio.fixture
async def view(filled: Database) -> AsyncIterator[ReadUnitOfWork]:
    """A reader on a connection that has prepared nothing yet."""
    await filled.read_engine.dispose()
    async with filled.reader() as view:
        yield view


def by_prefix(indexes: Iterable[str]) -> set[str]:
    """Return the names, with one name for all indexes that begin with the tenant and repository.

    They cost the same, so that the planner takes one or another of them. A covering index of
    embeddings begins so as well.
    """
    return {re.sub(r"_(tenant_repo_\w+|embedding)$", "_tenant_repo", name) for name in indexes}


async def _plan(view: ReadUnitOfWork, search: Search) -> SearchPlan:
    with view.explaining() as plans:
        await search(view)
    [plan] = plans
    return plan


async def _scans(view: ReadUnitOfWork) -> dict[str, int]:
    """Return how often this transaction scanned each table and each of its indexes."""
    counted = text(
        "SELECT relname, pg_stat_get_xact_numscans(oid) AS scans FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')"
    )
    result = await view._transaction.execute(counted)
    return {row["relname"]: row["scans"] for row in result.mappings()}


@every_search
async def test_a_search_goes_through_its_index(
    view: ReadUnitOfWork, search: Search, indexes: set[str], exact: bool
) -> None:
    hits = await search(view)
    assert hits
    plan = await _plan(view, search)
    assert by_prefix(name for name in plan.indexes if not name.startswith("pk_")) == by_prefix(
        indexes
    )
    assert plan.exact is exact is hits.exact
    assert len(hits) <= plan.rows_examined
    assert plan.milliseconds > 0


@every_search
async def test_a_search_goes_the_same_way_the_twelfth_time(
    view: ReadUnitOfWork, search: Search, indexes: set[str], exact: bool
) -> None:
    before, scans = await _scans(view), []
    for _ in range(EXECUTIONS):
        await search(view)
        after = await _scans(view)
        scans.append(
            {name: after[name] - count for name, count in before.items() if after[name] > count}
        )
        before = after
    assert by_prefix(indexes) <= by_prefix(scans[0])
    assert scans == scans[:1] * EXECUTIONS


async def test_a_tenant_without_an_index_of_its_own_is_searched_exactly(filled: Database) -> None:
    rows = [chunk(f"{n}", embedding=[*EMBEDDING[:-1], n / 9]) for n in range(9)]
    await write(filled, *rows, tenant="small")
    async with filled.reader(tenant="small") as small:
        hits = await small.knowledge.vector_search(EMBEDDING, limit=3)
        plan = await _plan(small, lambda view: view.knowledge.vector_search(EMBEDDING, limit=3))
    assert (hits.exact, hits.ef_search, plan.exact, plan.ef_search) == (True, None, True, None)
    assert GRAPH not in plan.indexes
    async with filled.reader() as large:
        hits = await large.knowledge.vector_search(EMBEDDING)
        plan = await _plan(large, lambda view: view.knowledge.vector_search(EMBEDDING))
    ef_search = filled.settings.ef_search
    assert (hits.exact, hits.ef_search, plan.ef_search) == (False, ef_search, ef_search)
    assert COVERING not in plan.indexes


async def test_the_searches_are_prepared_once(view: ReadUnitOfWork) -> None:
    for _ in range(EXECUTIONS):
        await view.knowledge.hybrid_search(WORDS, EMBEDDING)
    prepared = text(
        "SELECT custom_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH%' "
        "AND statement LIKE '%nearest AS%' AND statement LIKE '%keyword AS%'"
    )
    assert list((await view._transaction.execute(prepared)).scalars()) == [EXECUTIONS]


async def test_a_search_without_an_index_says_so(view: ReadUnitOfWork) -> None:
    plan = await _plan(
        view, lambda view: view.knowledge.vector_search(EMBEDDING, distance=Distance.L2)
    )
    assert plan.exact
    assert plan.indexes in ((), (KEY,))
    assert plan.rows_examined >= ROWS


@pytest.mark.parametrize(
    ("repo", "of_knowledge", "of_memories"),
    [
        (None, GRAPH, GRAPH_OF_MEMORIES),
        (REPO, GRAPH, GRAPH_OF_MEMORIES),
        (SMALL_REPO, "ix_knowledge_tenant_repo_source", OF_MEMORIES),
    ],
)
async def test_a_search_of_everything_has_a_plan_for_each_corpus(
    view: ReadUnitOfWork, repo: str | None, of_knowledge: str, of_memories: str
) -> None:
    with view.explaining() as plans:
        hits = await view.corpora.search(WORDS, EMBEDDING, repo=repo)
    assert {hit.corpus for hit in hits} == set(Corpus)
    assert [plan.searched for plan in plans] == ["knowledge", "learning_memories", "findings"]
    for plan, nearest in zip(plans[:2], (of_knowledge, of_memories), strict=True):
        expected = {nearest, f"ix_{plan.searched}_search_vector"}
        assert by_prefix(expected) <= by_prefix(plan.indexes)
    assert "ix_findings_search_vector" in plans[2].indexes
