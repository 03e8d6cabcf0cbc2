"""The evaluation on the fake database: collections, measures and reports."""

from __future__ import annotations

import io
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from zlib import crc32

import pytest
from pgvector import Vector
from rich.console import Console

from domain import (
    ConfigurationError,
    EmbeddingMismatch,
    InvalidInput,
    KnowledgeChunk,
    RecollectError,
    VectorLike,
)
from repositories import FakeDatabase
from repositories.cli.evaluation import embedding, loading
from repositories.cli.evaluation.collection import Collection, CollectionDocument, CollectionQuery
from repositories.cli.evaluation.embedding import embeddings
from repositories.cli.evaluation.measures import (
    hit,
    ndcg,
    percentile,
    recall,
    reciprocal_rank,
)
from repositories.cli.evaluation.measuring import Measurements, sample
from repositories.cli.evaluation.program import Evaluation
from repositories.cli.evaluation.report import Report
from repositories.cli.evaluation.searching import EmbeddedQuery, ExactSearch, Kind

DIMENSIONS = 64


class BagOfWords:
    """An embedder that counts words; words that begin with an underscore are unknown to it."""

    provider = "test"
    model = "bag-of-words"
    dimensions = DIMENSIONS

    def __init__(self) -> None:
        self.longest = 0

    async def embed(self, texts: Sequence[str]) -> Sequence[VectorLike]:
        self.longest = max(self.longest, *map(len, texts))
        return [self._mean(self._words(text)) for text in texts]

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(self._words(text)) for text in texts]

    def _mean(self, words: Sequence[str]) -> Vector:
        components = [0.0] * DIMENSIONS
        for word in words:
            components[crc32(word.encode()) % DIMENSIONS] += 1 / len(words)
        return Vector(components)

    def _words(self, text: str) -> list[str]:
        return [word for word in text.lower().split() if not word.startswith("_")]


DOCUMENTS = [
    {
        "id": 1,
        "title": "Apples",
        "text": "An apple a day keeps the doctor away.",
        "author": "unknown",
    },
    {"id": "two", "title": "", "text": "Pears are not apples."},
    {"id": 3, "title": None, "text": "Bicycles have two wheels."},
    {"id": 4, "text": ""},
]
QUERIES = [
    {"id": "a", "text": "apple doctor"},
    {"id": "b", "text": "bicycles wheels"},
    {"id": "c", "text": "_quux"},
]
RELEVANCE = "query\tdocument\tgrade\na\t1\t2\na\ttwo\t1\nb\t3\t1\nc\t1\t0\nz\t1\t1\n"


def collection(
    folder: Path,
    *,
    documents: str = "\n\n".join(map(json.dumps, DOCUMENTS)),
    queries: str = "\n".join(map(json.dumps, QUERIES)) + "\n",
    relevance: str = RELEVANCE,
) -> Collection:
    for name, content in {
        "documents.jsonl": documents,
        "queries.jsonl": queries,
        "relevance.tsv": relevance,
    }.items():
        (folder / name).write_text(content, encoding="utf-8")
    return Collection(folder)


async def no_analysis() -> None:
    """Do nothing: the fake has no planner."""


async def evaluate(
    collection: Collection,
    database: FakeDatabase | None = None,
    analyze: Callable[[], Awaitable[None]] = no_analysis,
) -> Report:
    database = database or FakeDatabase(
        dimensions=DIMENSIONS, provider="test", model="bag-of-words"
    )
    return await Evaluation(
        database=database,
        embedder=BagOfWords(),
        collection=collection,
        console=Console(file=io.StringIO()),
        analyze=analyze,
        exact=exact_search(database),
    ).run()


def exact_search(database: FakeDatabase) -> ExactSearch:
    """Search the fake, which has no index."""

    async def search(vector: Vector, limit: int) -> list[str]:
        async with database.reader() as view:
            return [
                hit.item.chunk_id for hit in await view.knowledge.vector_search(vector, limit=limit)
            ]

    return search


def test_ndcg_equals_the_figure_computed_by_hand() -> None:
    grades = {"a": 3, "b": 2, "c": 1, "d": 0}
    # Gains 2, 0, 3 at discounts 1, log2 3, 2 against the ideal 3, 2, 1.
    assert ndcg(["b", "x", "a"], grades, depth=10) == pytest.approx(
        (2 + 3 / 2) / (3 + 2 / 1.5849625007 + 1 / 2)
    )
    assert ndcg(["a", "b", "c", "d"], grades, depth=10) == 1.0
    assert ndcg(["x", "d"], grades, depth=10) == 0.0
    assert ndcg([], grades, depth=10) == 0.0


def test_ndcg_and_its_ideal_end_at_the_depth() -> None:
    grades = {str(number): 1 for number in range(20)}
    assert ndcg([str(number) for number in range(10)], grades, depth=10) == 1.0
    assert ndcg(["x", "y", "0"], grades, depth=2) == 0.0


def test_recall_is_over_all_relevant_documents() -> None:
    grades = {"a": 1, "b": 2, "c": 1, "d": 1, "e": 0}
    assert recall(["a", "e", "x", "b"], grades, depth=100) == 0.5
    assert recall(["a", "e", "x", "b"], grades, depth=3) == 0.25


def test_a_hit_is_a_relevant_document_within_the_depth() -> None:
    grades = {"a": 0, "b": 2, "c": 1}
    assert hit(["b", "x"], grades, depth=1) == 1.0
    assert hit(["a", "b"], grades, depth=1) == 0.0
    assert hit(["x", "a", "c"], grades, depth=3) == 1.0
    assert hit([], grades, depth=10) == 0.0


def test_the_reciprocal_rank_is_that_of_the_first_relevant_document() -> None:
    grades = {"a": 0, "b": 2, "c": 1}
    assert reciprocal_rank(["b", "c"], grades) == 1.0
    assert reciprocal_rank(["a", "x", "c", "b"], grades) == pytest.approx(1 / 3)
    assert reciprocal_rank(["a", "x"], grades) == 0.0


def test_a_sample_is_spread_over_all_queries() -> None:
    queries = [
        EmbeddedQuery(query=CollectionQuery(id=str(number), text="a"), embedding=None)
        for number in range(1_000)
    ]
    assert [query.query.id for query in sample(queries, 4)] == ["0", "250", "500", "750"]
    assert sample(queries[:3], 4) == queries[:3]


async def test_statistics_are_updated_after_the_load_and_before_a_search(tmp_path: Path) -> None:
    database = FakeDatabase(dimensions=DIMENSIONS, provider="test", model="bag-of-words")
    counts: list[int] = []

    async def analyze() -> None:
        async with database.reader() as view:
            counts.append(await view.knowledge.count())

    await evaluate(collection(tmp_path), database, analyze)
    assert counts == [4]


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99)) == (50.0, 99.0)
    assert (
        percentile([1.0, 2.0, 3.0], 50),
        percentile([1.0, 2.0, 3.0], 99),
        percentile([7.0], 50),
    ) == (2.0, 3.0, 7.0)


def test_numbers_and_names_are_ids_and_other_fields_are_ignored(tmp_path: Path) -> None:
    read = [document for _, document in collection(tmp_path).documents()]
    assert [document.id for document in read] == ["1", "two", "3", "4"]
    assert read[0] == CollectionDocument(
        id="1", title="Apples", text="An apple a day keeps the doctor away."
    )
    assert [document.embedded_text for document in read[1:]] == [
        "Pears are not apples.",
        "Bicycles have two wheels.",
        "",
    ]
    assert collection(tmp_path).queries()[1] == CollectionQuery(id="b", text="bicycles wheels")


def test_headings_blank_lines_and_windows_line_ends_do_not_matter(tmp_path: Path) -> None:
    judgements = collection(
        tmp_path,
        relevance="\ufeffquery-id\tcorpus-id\tscore\r\n\r\na\t1\t2\r\nb\t3\t1\r\na\t1\t2\r\n",
    ).judgements()
    assert (
        judgements
        == collection(tmp_path, relevance="a\t1\t2\nb\t3\t1").judgements()
        == {"a": {"1": 2}, "b": {"3": 1}}
    )


def test_documents_are_read_one_by_one(tmp_path: Path) -> None:
    documents = collection(tmp_path, documents='{"id": 1, "text": "first"}\nnonsense').documents()
    assert next(documents)[1].text == "first"
    with pytest.raises(InvalidInput, match=r"^documents\.jsonl:2: not valid JSON$"):
        next(documents)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"id": 1, "text": "cut', "not valid JSON"),
        (r'{"id": 1, "text": "\ud800"}', "not valid JSON"),
        ("[1]", "Input should be an object"),
        ('{"text": "a"}', "id: Field required"),
        ('{"id": 1}', "text: Field required"),
        ('{"id": true, "text": "a"}', "id: Input should be a valid string"),
        ('{"id": 1.5, "text": "a"}', "id: Input should be a valid string"),
        ('{"id": "", "text": "a"}', "id: String should have at least 1 character"),
        (
            json.dumps({"id": "secret" * 1_000, "text": "a"}),
            "id: String should have at most 2000 characters",
        ),
        ('{"id": 1, "text": null}', "text: Input should be a valid string"),
        (r'{"id": 1, "text": "a\u0000b"}', "text: contains a NUL character"),
    ],
)
def test_the_error_names_the_line_of_an_invalid_document(
    tmp_path: Path, line: str, reason: str
) -> None:
    documents = collection(
        tmp_path, documents=f'{{"id": 0, "text": "good"}}\n\n{line}\n'
    ).documents()
    with pytest.raises(InvalidInput) as refused:
        list(documents)
    assert str(refused.value).startswith(f"documents.jsonl:3: {reason}")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("relevance", "reason"),
    [
        ("a\t1", "2: a line has three columns"),
        ("a 1 1", "2: a line has three columns"),
        ("a\t1\tx", "2: the grade must be a whole number"),
        ("a\t1\t-1", "2: the grade must be a whole number"),
        ("a\t1\t1.0", "2: the grade must be a whole number"),
        ("a\t1\t1\na\t1\t2", "3: an earlier line has another grade"),
    ],
)
def test_the_error_names_the_line_of_an_invalid_judgement(
    tmp_path: Path, relevance: str, reason: str
) -> None:
    with pytest.raises(InvalidInput, match=rf"^relevance\.tsv:{reason}"):
        collection(tmp_path, relevance=f"query\tdocument\tgrade\n{relevance}").judgements()


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    read = collection(tmp_path)
    (tmp_path / "relevance.tsv").write_bytes(b"a\t1\t1\n\xff\t1\t1\n")
    (tmp_path / "queries.jsonl").write_bytes(b'{"id": 1, "text": "caf\xe9"}')
    with pytest.raises(InvalidInput, match=r"^relevance\.tsv:2: not valid UTF-8$"):
        read.judgements()
    with pytest.raises(InvalidInput, match=r"^queries\.jsonl:1: not valid JSON$"):
        read.queries()


def test_a_collection_has_queries_with_unique_ids(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^queries\.jsonl has no query$"):
        collection(tmp_path, queries="\n").queries()
    with pytest.raises(InvalidInput, match=r"^queries\.jsonl:2: another query has this id$"):
        collection(tmp_path, queries='{"id": 7, "text": "a"}\n{"id": "7", "text": "b"}').queries()


def test_an_incomplete_folder_is_refused(tmp_path: Path) -> None:
    collection(tmp_path).require_complete()
    (tmp_path / "relevance.tsv").unlink()
    with pytest.raises(ConfigurationError, match=r"has no file relevance\.tsv"):
        Collection(tmp_path).require_complete()
    with pytest.raises(ConfigurationError, match="is not a folder"):
        Collection(tmp_path / "nowhere").require_complete()


async def test_a_long_text_has_the_mean_of_its_words() -> None:
    embedder = BagOfWords()
    long = " ".join(f"word{number % 7}" for number in range(2_000)) + " _unknown" * 1_000
    short, empty, whole = await embeddings(embedder, ["word1", "_unknown", long])
    assert embedder.longest <= embedding.PIECE_CHARACTERS
    assert short is not None
    assert short.to_list() == embedder._mean(["word1"]).to_list()
    assert empty is None
    assert whole is not None
    assert whole.to_list() == pytest.approx(
        embedder._mean(embedder._words(long)).to_list(), abs=1e-6
    )


@pytest.mark.parametrize("text", ["x" * 10_000, " " * 9_000 + "x", "x" * 3_999 + " " + "y" * 5_000])
async def test_a_text_without_spaces_is_embedded_in_pieces_as_well(text: str) -> None:
    assert "".join(embedding._pieces(text)) == text
    assert max(map(len, embedding._pieces(text))) <= embedding.PIECE_CHARACTERS
    assert None not in await embeddings(BagOfWords(), [text])


async def test_an_evaluation_measures_every_kind_of_search(tmp_path: Path) -> None:
    report = await evaluate(collection(tmp_path))
    assert (report.documents, report.documents_without_embedding) == (4, 1)
    assert (
        report.queries,
        report.queries_without_embedding,
        report.queries_with_relevant_documents,
    ) == (3, 1, 2)
    assert (
        report.judgements,
        report.judgements_of_unknown_queries,
    ) == (5, 1)
    assert set(report.searches) == set(Kind)
    keyword = report.searches[Kind.KEYWORD]
    assert (keyword.ndcg_at_10, keyword.recall_at_100, keyword.queries_without_result) == (
        1.0,
        1.0,
        1,
    )
    assert (keyword.recall_at_10, keyword.hit_at_1, keyword.hit_at_10, keyword.mrr) == (
        1.0,
        1.0,
        1.0,
        1.0,
    )
    vector = report.searches[Kind.VECTOR]
    assert (vector.recall_at_100, vector.queries_without_result) == (1.0, 1)
    for kind, figures in report.searches.items():
        assert figures.searches_timed == (6 if kind in {Kind.VECTOR, Kind.EXACT} else 9)
        assert figures.latency_p50_ms is not None
        assert figures.latency_p99_ms is not None
        assert 0 < figures.latency_p50_ms <= figures.latency_p99_ms


async def test_an_index_that_is_exact_loses_nothing(tmp_path: Path) -> None:
    index = (await evaluate(collection(tmp_path))).index
    assert (index.queries, index.queries_that_miss_a_document) == (2, 0)
    assert (index.recall_at_10, index.ndcg_at_10) == (1.0, 0.0)


def test_an_index_that_misses_documents_is_measured() -> None:
    measured = Measurements()
    nearest = [str(number) for number in range(10)]
    rankings = dict.fromkeys(Kind, nearest)
    measured.add(rankings, {"0": 1})
    measured.add({**rankings, Kind.VECTOR: nearest[5:]}, {"0": 1})
    loss = measured.index_loss()
    assert (loss.queries, loss.queries_that_miss_a_document) == (2, 1)
    assert (loss.recall_at_10, loss.ndcg_at_10) == (0.75, 0.5)


async def test_the_error_names_the_line_of_a_judgement_of_an_unknown_document(
    tmp_path: Path,
) -> None:
    relevance = "query\tdocument\tgrade\na\t1\t1\nb\tmissing\t1\n"
    with pytest.raises(
        InvalidInput, match=r"^relevance\.tsv:3: documents\.jsonl has no document with this id$"
    ):
        await evaluate(collection(tmp_path, relevance=relevance))


async def test_without_relevant_documents_only_latency_is_measured(
    tmp_path: Path,
) -> None:
    report = await evaluate(collection(tmp_path, relevance="a\t1\t0\n"))
    assert report.queries_with_relevant_documents == 0
    assert report.searches[Kind.HYBRID].ndcg_at_10 is None
    assert report.searches[Kind.HYBRID].recall_at_100 is None
    assert report.searches[Kind.HYBRID].latency_p99_ms is not None
    assert json.loads(json.dumps(report.as_json()))["searches"]["hybrid"]["ndcg_at_10"] is None


async def test_documents_are_written_in_batches_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "BATCH", 10)
    monkeypatch.setattr(loading, "BATCH_CHARACTERS", 500)
    lines = [
        json.dumps({"id": number, "text": "word " * (200 if number % 10 == 5 else 1)})
        for number in range(95)
    ]
    database, written = FakeDatabase(dimensions=DIMENSIONS), list[int]()
    documents = collection(tmp_path, documents="\n".join(lines)).documents()
    loaded = await loading.load(
        database, BagOfWords(), documents, judged=frozenset({"3", "x"}), advance=written.append
    )
    assert loaded.documents == sum(written) == 95
    assert max(written) == 10
    assert 6 in written  # ended by a long text
    assert loaded.judged == {"3"}
    async with database.reader() as view:
        assert await view.knowledge.count() == 95


@pytest.mark.parametrize("distance", [1, 299])
async def test_the_error_names_the_line_of_a_duplicate_id(tmp_path: Path, distance: int) -> None:
    lines = [json.dumps({"id": number, "text": "word"}) for number in range(400)]
    lines[300] = lines[300 - distance]
    with pytest.raises(InvalidInput, match=r"^documents\.jsonl:301: another document has this id$"):
        await evaluate(collection(tmp_path, documents="\n".join(lines)))


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("documents", "", "documents.jsonl has no document"),
        ("documents", "{}", "documents.jsonl:1: id: Field required"),
        ("queries", "{}", "queries.jsonl:1: id: Field required"),
        ("relevance", "1\n", "relevance.tsv:1: a line has three columns, separated by tabs"),
    ],
)
async def test_an_invalid_file_ends_an_evaluation(
    tmp_path: Path, name: str, content: str, sentence: str
) -> None:
    with pytest.raises(RecollectError) as refused:
        await evaluate(collection(tmp_path, **{name: content}))
    assert str(refused.value) == sentence


async def test_an_evaluation_needs_an_empty_database_for_its_embeddings(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingMismatch):
        await evaluate(collection(tmp_path), FakeDatabase(dimensions=DIMENSIONS, provider="other"))
    used = FakeDatabase(dimensions=DIMENSIONS, provider="test", model="bag-of-words")
    async with used.unit_of_work() as uow:
        await uow.knowledge.add_many(
            [KnowledgeChunk(chunk_id="1", source="1", source_type="doc", content="there before")]
        )
        await uow.commit()
    with pytest.raises(ConfigurationError, match="has passages"):
        await evaluate(collection(tmp_path), used)


async def test_a_report_shows_its_figures(tmp_path: Path) -> None:
    report = await evaluate(collection(tmp_path))
    shown = io.StringIO()
    Console(file=shown, width=120).print(report.table())
    assert "over 2 queries" in shown.getvalue()
    assert "1.000" in shown.getvalue()
    figures = dict(report.collection_figures())
    assert figures["documents"] == "4, 1 without an embedding"
    assert figures["judgements"].startswith("5, 1 of unknown queries")
