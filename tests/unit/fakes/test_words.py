"""Stemming and keyword search in memory.

Lexemes, queries and ranking, held to what PostgreSQL 18 answered to the same texts.
"""

from __future__ import annotations

import asyncio
import math
import re
import sys
from typing import Any
from uuid import UUID

import pytest

from domain import (
    ConfigurationError,
    Distance,
    Entity,
    InvalidEmbedding,
    KnowledgeChunk,
    Match,
    Vector,
    Weights,
    metadata,
)
from domain.values.embedding import query_vector
from domain.values.scores import keyword_score
from domain.values.text_analysis import indexed_text
from repositories.fakes import FakeDatabase, FakeUnitOfWork
from repositories.fakes.knowledge import FakeKnowledgeReader
from repositories.fakes.learning import FakeMemoryReader
from repositories.fakes.lexemes import lexemes
from repositories.fakes.ranking import KeywordMatch, best
from repositories.fakes.reviews import FakeFindingReader
from repositories.fakes.stopwords import ENGLISH
from repositories.fakes.vectors import distance_between

SEARCHED = (("title", "A"), ("summary", "B"), ("content", "C"))
TEXTS = (
    "the parse_config helper reads settings",
    "open src/db/client.ts and fix the pool",
    "call getUserName before login",
    "HTTPServer starts here",
    "a user chose a name",
    "unrelated prose about gardens",
    "report for v1.2.3 and 3.14",
    "see config/2024/app.yaml",
    "it's O'Reilly back",
    "e.g. the U.S. I/O",
)
ROWS = [
    {"id": UUID(int=number), "title": None, "summary": None, "content": text}
    for number, text in enumerate(TEXTS, start=1)
]


def search(
    query: str, match: Match = Match.ANY, rows: list[dict[str, Any]] = ROWS
) -> list[KeywordMatch]:
    return list(asyncio.run(best(query, rows, rows, SEARCHED, limit=10, match=match)))


def numbers(hits: list[KeywordMatch]) -> list[int]:
    return [hit.row["id"].int for hit in hits]


def stems(text: str) -> str:
    return " ".join(f"{lexeme.stem}:{lexeme.position}" for lexeme in lexemes(indexed_text(text)))


class TestLexemes:
    def test_the_stop_words_are_postgresqls(self) -> None:
        assert len(ENGLISH) == 127

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("The quick foxes jumped over a lazy dog", "quick:2 fox:3 jump:4 lazi:7 dog:8"),
            ("getUserName", "get:1 user:2 name:3 getusernam:4"),
            ("get-user-name x", "get:1 user:2 name:3 x:4 getusernam:5"),
            ("v1.2.3 3.14 -7 12abc", "1:1 2:2 3:3 3:4 14:5 7:6 12abc:7 1.2.3:8 3.14:9"),
            ("e.g. I/O U.S.", "eg:1 o:3 us:4"),
            ("1e5f00 2E3", "1e5:1 f00:2 2e3:3"),
            ("adding added odds ending", "add:1 add:2 odd:3 end:4"),
            ("word" * 600 + " last", "last:1"),
            ("  \t\n", ""),
        ],
    )
    def test_a_text_has_the_lexemes_and_places_that_postgresql_gives_it(
        self, text: str, expected: str
    ) -> None:
        assert stems(text) == expected

    def test_only_so_much_of_a_column_is_read(self) -> None:
        title = {"id": UUID(int=1), "title": "word " * 200 + "last", "summary": "", "content": ""}
        assert numbers(search("word", rows=[title])) == [1]
        assert numbers(search("last", rows=[title])) == []
        assert numbers(search("last", rows=[{**title, "summary": title["title"]}])) == [1]

    def test_without_the_package_that_stems_a_clear_error_says_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from repositories.fakes import lexemes as module

        module._stemmer.cache_clear()
        module._stem.cache_clear()
        monkeypatch.setitem(sys.modules, "snowballstemmer", None)
        with pytest.raises(ConfigurationError, match=r"recollect\[testing\]"):
            lexemes("words")
        monkeypatch.undo()
        assert lexemes("words")[0].stem == "word"

    @pytest.mark.parametrize("reader", [FakeKnowledgeReader, FakeMemoryReader, FakeFindingReader])
    def test_the_columns_that_are_searched_are_those_of_the_servers_search_vector(
        self, reader: Any
    ) -> None:
        tables = {
            FakeKnowledgeReader: "knowledge",
            FakeMemoryReader: "learning_memories",
            FakeFindingReader: "findings",
        }
        computed = metadata.tables[tables[reader]].columns["search_vector"].computed
        assert computed is not None
        assert (
            tuple(
                re.findall(
                    r"octet_length\((\w+)\)(?:(?!setweight).)*, '([A-D])'\)", str(computed.sqltext)
                )
            )
            == reader.searched
        )


class TestQueries:
    @pytest.mark.parametrize(
        ("query", "match", "expected"),
        [
            ("parse config", Match.ANY, [1, 8]),
            ("parseConfig", Match.ANY, [1, 8]),
            ("parse config", Match.ALL, [1]),
            ("parseConfig", Match.ALL, [1]),
            ("client.ts", Match.ALL, [2]),
            ("db/client", Match.ALL, [2]),
            ("user name", Match.ALL, [3, 5]),
            ("get_user_name", Match.ALL, [3]),
            ("http server", Match.ALL, [4]),
            ("app.yaml", Match.ALL, [8]),
            ("I/O", Match.ANY, [9, 10]),
            ("the", Match.ANY, []),
            ("", Match.ANY, []),
            ("nowhere", Match.ANY, []),
            ("garden nowhere", Match.ALL, []),
            ('"user name"', Match.WEB, [3]),
            ("user -login", Match.WEB, [5]),
            ("-user", Match.WEB, []),
            ("user or -pool", Match.WEB, [3, 5]),
            ("pool or the", Match.WEB, [2]),
            ("gardens OR login", Match.WEB, [3, 6]),
            ("client.ts -pool", Match.WEB, []),
            ('-"client.ts" fix', Match.WEB, []),
            ('"user chose the name"', Match.WEB, [5]),
            ('"user the name"', Match.WEB, []),
            ("name --pool", Match.WEB, []),
            ("fix --pool", Match.WEB, [2]),
            ("fix --nowhere", Match.WEB, []),
            ("config/2024 app.yaml", Match.WEB, [8]),
            ('"open src/db/client.ts and fix"', Match.WEB, [2]),
            ('pool -"src/db/client.ts and"', Match.WEB, []),
            ("getusername", Match.ANY, [3]),
            ("2.3", Match.ALL, [7]),
            ("1.2.3", Match.WEB, [7]),
            ("V1.2.3", Match.ALL, [7]),
            ('"unclosed user', Match.WEB, []),
            ("or or", Match.WEB, []),
        ],
    )
    def test_a_query_finds_what_it_asks_for(
        self, query: str, match: Match, expected: list[int]
    ) -> None:
        assert sorted(numbers(search(query, match))) == expected

    @pytest.mark.parametrize("match", Match)
    def test_nothing_in_a_query_raises(self, match: Match) -> None:
        for query in (
            '"',
            "-",
            "- -",
            '-"',
            "\\",
            "'",
            "a&b|!c:*<->(",
            "é😀\x01",
            '""',
            "--",
            "x" * 5_000,
            "a " * 5_000,
        ):
            search(query, match)


class TestRanking:
    def test_a_score_is_bm25_with_every_occurrence_weighted_by_its_column(self) -> None:
        rows: list[dict[str, Any]] = [
            {"id": UUID(int=1), "title": "pool", "summary": "pool", "content": "pool pool"},
            {"id": UUID(int=2), "title": None, "summary": None, "content": "a pool of words"},
            {"id": UUID(int=3), "title": None, "summary": None, "content": "nothing of it"},
        ]
        hits = search("pool words", rows=rows)
        average = (1 + 2 + 1) / 3
        expected = {
            1: 2.2 * math.log(1 + 1.5 / 2.5) * 7 / (7 + 0.6 + 0.6 * 1 / average),
            2: sum(
                2.2 * math.log(1 + (3.5 - df) / (df + 0.5)) / (1 + 0.6 + 0.6 * 2 / average)
                for df in (1, 2)
            ),
        }
        assert {hit.row["id"].int: pytest.approx(hit.relevance) for hit in hits} == expected

    def test_what_a_query_repeats_counts_as_often(self) -> None:
        once, twice = search("user name"), search("user user name")
        assert twice[0].relevance > once[0].relevance

    def test_equals_are_ordered_by_id_and_tell_what_they_have_of_the_query(self) -> None:
        rows: list[dict[str, Any]] = [
            {**ROWS[0], "id": UUID(int=number), "content": "a pool"} for number in (3, 1, 2)
        ]
        hits = search("pools of water", rows=rows)
        assert numbers(hits) == [1, 2, 3]
        assert {hit.terms for hit in hits} == {("pool",)}


class TestVectors:
    ONE, OTHER = Vector([3, 4, 0]), Vector([0, 4, 3])

    @pytest.mark.parametrize(
        ("metric", "distance"),
        [
            (Distance.COSINE, 1 - 16 / 25),
            (Distance.L2, math.sqrt(18)),
            (Distance.INNER_PRODUCT, -16.0),
        ],
    )
    def test_distances_are_pgvectors(self, metric: Distance, distance: float) -> None:
        assert distance_between(self.ONE, self.OTHER, metric) == pytest.approx(distance)

    def test_a_vector_is_as_near_to_itself_as_can_be(self) -> None:
        for vector in (self.ONE, Vector([0.1, 0.7, 1e-3])):
            assert 0 <= distance_between(vector, vector, Distance.COSINE) < 1e-12

    @pytest.mark.parametrize(
        "embedding", [[1, 2], [0, 0, 0], [float("nan"), 0, 0], [1e39, 0, 0], "abc", [True, 0, 0]]
    )
    def test_a_query_that_cannot_be_compared_is_refused(self, embedding: Any) -> None:
        with pytest.raises(InvalidEmbedding) as raised:
            query_vector(embedding, 3)
        assert raised.value.field == "embedding"


class TestHits:
    @pytest.fixture
    async def uow(self) -> Any:
        async with FakeDatabase(dimensions=3).unit_of_work() as uow:
            vectors = {
                "both": [1, 0, 0],
                "words": None,
                "vector": [0.9, 0.1, 0],
                "neither": [0, 0, 1],
            }
            texts = {"both": "pool", "words": "pool of water", "vector": "else", "neither": "else"}
            for name, embedding in vectors.items():
                facts: dict[str, Any] = {
                    "chunk_id": name,
                    "source": "s",
                    "source_type": "doc",
                    "embedding": embedding,
                }
                uow.knowledge.add(KnowledgeChunk(content=texts[name], **facts))
            yield uow

    async def test_a_hit_of_both_arms_tells_of_both(self, uow: FakeUnitOfWork) -> None:
        hits = await uow.knowledge.hybrid_search("pool", [1, 0, 0], limit=4)
        assert [hit.item.chunk_id for hit in hits] == ["both", "vector", "words", "neither"]
        best_hit, near, worded, _ = hits
        assert (best_hit.vector_rank, best_hit.keyword_rank, best_hit.score, hits.exact) == (
            1,
            1,
            1.0,
            True,
        )
        assert (near.keyword_rank, near.keyword_score, worded.vector_rank, worded.distance) == (
            None,
            None,
            None,
            None,
        )
        assert [hit.score for hit in hits] == sorted([hit.score for hit in hits], reverse=True)

    async def test_a_blank_query_leaves_the_vector_arm_alone(self, uow: FakeUnitOfWork) -> None:
        hits = await uow.knowledge.hybrid_search(" ", [1, 0, 0])
        assert [(hit.item.chunk_id, hit.keyword_rank) for hit in hits] == [
            ("both", None),
            ("vector", None),
            ("neither", None),
        ]

    async def test_an_arm_without_weight_adds_nothing(self, uow: FakeUnitOfWork) -> None:
        hits = await uow.knowledge.hybrid_search(
            "pool", [1, 0, 0], weights=Weights(vector=0, keyword=1)
        )
        assert [hit.item.chunk_id for hit in hits][:2] == ["both", "words"]
        assert hits[-1].score == 0

    async def test_hits_are_copies_without_embedding_that_nobody_watches(
        self, uow: FakeUnitOfWork
    ) -> None:
        for hits in (
            await uow.knowledge.vector_search([1, 0, 0]),
            await uow.knowledge.keyword_search("pool", explain=True),
        ):
            item: Entity = hits[0].item
            assert "embedding" not in vars(item)
            assert item is not await uow.knowledge.get(hits[0].item.id)
        assert hits[0].matched_terms == ("pool",)
        assert hits[0].score == hits[0].keyword_score
        assert hits[0].score is not None
        assert hits[0].score < keyword_score(10)
