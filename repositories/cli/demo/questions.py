"""The questions of the demo, and the searches that answer them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from domain import where
from domain.values.search import SearchHit, SearchHits
from repositories.cli.demo.source import DEFAULT_PACKAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain import Embedder, ReadUnitOfWork, VectorLike
    from repositories.cli.demo.recording import Opens
    from repositories.cli.demo.source import Source


class Method(StrEnum):
    """The entities that a question searches, and the kind of search."""

    PASSAGES = "passages by vector (v) and by words (w)"
    PASSAGE_WORDS = "passages by words (w)"
    MEMORIES = "memories of earlier findings by vector (v) and by words (w)"
    FINDINGS = "findings by words (w)"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoQuestion:
    """One question in plain words."""

    method: Method
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The hits for a question, best first; `exact` means that no approximate index was used."""

    question: DemoQuestion
    hits: tuple[SearchHit[Any], ...]
    exact: bool


_FOR_DEFAULT_PACKAGE: Final = (
    DemoQuestion(method=Method.PASSAGES, text="How do I rename a table?"),
    DemoQuestion(
        method=Method.PASSAGES,
        text="Can a migration be written as a SQL script, without a database?",
    ),
    DemoQuestion(method=Method.PASSAGE_WORDS, text="batch alter table sqlite"),
    DemoQuestion(method=Method.MEMORIES, text="a default argument that all calls share"),
    DemoQuestion(method=Method.FINDINGS, text="exceptions that are caught blindly"),
)
_FOR_ANY_SOURCE: Final = (
    DemoQuestion(method=Method.PASSAGES, text="What is this for, and how is it used?"),
    DemoQuestion(method=Method.PASSAGES, text="Which errors are raised, and when?"),
    DemoQuestion(method=Method.PASSAGE_WORDS, text="default value or configuration option"),
    DemoQuestion(method=Method.MEMORIES, text="an exception that is caught and ignored"),
    DemoQuestion(method=Method.FINDINGS, text="missing docstring or unused variable"),
)
LIMIT: Final = 4


def questions_for(source: Source) -> Sequence[DemoQuestion]:
    """Return five questions that the source's own documentation and findings can answer."""
    is_default = source.repo == f"installed/{DEFAULT_PACKAGE}"
    return _FOR_DEFAULT_PACKAGE if is_default else _FOR_ANY_SOURCE


async def answer(
    database: Opens, embedder: Embedder, source: Source, questions: Sequence[DemoQuestion]
) -> list[Answer]:
    """Return the answers, in order: all questions are embedded first, and share one reader."""
    embeddings = await embedder.embed([question.text for question in questions])
    async with database.reader() as view:
        return [
            await _answer(view, source, question, embedding)
            for question, embedding in zip(questions, embeddings, strict=True)
        ]


async def _answer(
    view: ReadUnitOfWork, source: Source, question: DemoQuestion, embedding: VectorLike
) -> Answer:
    text, repo = question.text, source.repo
    hits: SearchHits[Any]
    match question.method:
        case Method.PASSAGES:
            hits = await view.knowledge.hybrid_search(
                text, embedding, limit=LIMIT, where=where("repo").equals(repo)
            )
        case Method.PASSAGE_WORDS:
            hits = await view.knowledge.keyword_search(
                text, limit=LIMIT, where=where("repo").equals(repo), explain=True
            )
        case Method.FINDINGS:
            hits = await view.findings.keyword_search(text, repo=repo, limit=LIMIT, explain=True)
        case Method.MEMORIES:
            recall = await view.memories.recall(
                embedding, text, repo=repo, owner=source.owner, limit=LIMIT
            )
            hits = SearchHits(tuple(memory.hit for memory in recall.memories), exact=False)
    return Answer(question=question, hits=hits.hits, exact=hits.exact)
