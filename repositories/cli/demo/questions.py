"""The questions that the demo asks, and how each is answered from the database."""

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


class Ask(StrEnum):
    """What is asked, and how."""

    PASSAGES = "passages by vector (v) and by words (w)"
    PASSAGE_WORDS = "passages by words (w)"
    MEMORIES = "memories of earlier findings by vector (v) and by words (w)"
    FINDINGS = "findings by words (w)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question in plain words."""

    ask: Ask
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was found, best first.

    `exact` tells that no approximate index stood between the question and the answer.
    """

    question: Question
    hits: tuple[SearchHit[Any], ...]
    exact: bool


_OF_THE_DEFAULT: Final = (
    Question(ask=Ask.PASSAGES, text="How do I rename a table?"),
    Question(
        ask=Ask.PASSAGES, text="Can a migration be written as a SQL script, without a database?"
    ),
    Question(ask=Ask.PASSAGE_WORDS, text="batch alter table sqlite"),
    Question(ask=Ask.MEMORIES, text="a default argument that all calls share"),
    Question(ask=Ask.FINDINGS, text="exceptions that are caught blindly"),
)
_OF_ANY: Final = (
    Question(ask=Ask.PASSAGES, text="What is this for, and how is it used?"),
    Question(ask=Ask.PASSAGES, text="Which errors are raised, and when?"),
    Question(ask=Ask.PASSAGE_WORDS, text="default value or configuration option"),
    Question(ask=Ask.MEMORIES, text="an exception that nobody hears of"),
    Question(ask=Ask.FINDINGS, text="missing docstring or unused variable"),
)
LIMIT: Final = 4


def questions_for(source: Source) -> Sequence[Question]:
    """Return five questions that the source's own documentation and findings can answer."""
    return _OF_THE_DEFAULT if source.repo == f"installed/{DEFAULT_PACKAGE}" else _OF_ANY


async def answer(
    database: Opens, embedder: Embedder, source: Source, questions: Sequence[Question]
) -> list[Answer]:
    """Return what is found for each question.

    All of them in one reader, after every question has been embedded.
    """
    embeddings = await embedder.embed([question.text for question in questions])
    async with database.reader() as view:
        return [
            await _answer(view, source, question, embedding)
            for question, embedding in zip(questions, embeddings, strict=True)
        ]


async def _answer(
    view: ReadUnitOfWork, source: Source, question: Question, embedding: VectorLike
) -> Answer:
    text, repo = question.text, source.repo
    found: SearchHits[Any]
    match question.ask:
        case Ask.PASSAGES:
            found = await view.knowledge.hybrid_search(
                text, embedding, limit=LIMIT, where=where("repo").equals(repo)
            )
        case Ask.PASSAGE_WORDS:
            found = await view.knowledge.keyword_search(
                text, limit=LIMIT, where=where("repo").equals(repo), explain=True
            )
        case Ask.FINDINGS:
            found = await view.findings.keyword_search(text, repo=repo, limit=LIMIT, explain=True)
        case Ask.MEMORIES:
            recall = await view.memories.recall(
                embedding, text, repo=repo, owner=source.owner, limit=LIMIT
            )
            found = SearchHits(tuple(memory.hit for memory in recall.memories), exact=False)
    return Answer(question=question, hits=found.hits, exact=found.exact)
