"""Hybrid search next to its two arms, and plans after repeated executions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from bench.clock import median
from bench.corpus import questions
from bench.nearest import FILTERS
from bench.watch import explain, generic_plans, prepared_plans, server_milliseconds, shape, watching

if TYPE_CHECKING:
    from bench.vectors import Space
    from bench.watch import Watch
    from domain import ReadUnitOfWork
    from repositories import Database

LIMIT = 10
ARM = 40
"""How many rows each arm of a search for ten ranks."""

EXECUTIONS = 10

Search: TypeAlias = "Callable[[ReadUnitOfWork, str, Any], Awaitable[Any]]"

ARMS: dict[str, Search] = {
    "vector arm": lambda view, _, vector: view.knowledge.vector_search(vector, limit=ARM),
    "keyword arm": lambda view, words, _: view.knowledge.keyword_search(words, limit=ARM),
    "hybrid": lambda view, words, vector: view.knowledge.hybrid_search(words, vector, limit=LIMIT),
}
PLANNED: dict[str, Search] = {
    "keyword": lambda view, words, _: view.knowledge.keyword_search(words, limit=LIMIT),
    "vector": lambda view, _, vector: view.knowledge.vector_search(vector, limit=LIMIT),
    "hybrid": ARMS["hybrid"],
    "vector, 10 % filter": lambda view, _, vector: view.knowledge.vector_search(
        vector, limit=LIMIT, where=FILTERS["10 %"]
    ),
    "hybrid, 10 % filter": lambda view, words, vector: view.knowledge.hybrid_search(
        words, vector, limit=LIMIT, where=FILTERS["10 %"]
    ),
}


@dataclass(frozen=True)
class ArmFigures:
    """The cost of one search: the server's time with planning, and round trips."""

    search: str
    rows: int
    round_trips: int
    server_p50: float


@dataclass(frozen=True)
class PlanFigures:
    """Whether a search is run after ten times as it was the first time.

    `custom_plans` and `generic_plans` are the server's counts for the repository's own prepared
    statement; `same_plan` is about the statement prepared by hand."""

    search: str
    same_plan: bool
    custom_plans: int
    generic_plans: int


async def arms(database: Database, space: Space, *, queries: int) -> list[ArmFigures]:
    """Measure the three ways in turn for each question, so that noise affects all of them."""
    times: dict[str, list[float]] = {name: [] for name in ARMS}
    trips = dict.fromkeys(ARMS, 0)
    for words, vector in zip(questions(queries), space.queries(queries), strict=True):
        for name, search in ARMS.items():
            watch = await _watched(database, search, words, vector)
            trips[name] = max(trips[name], len(watch.sent))
            async with database.read_engine.connect() as connection:
                times[name].append(server_milliseconds(await explain(connection, watch)))
    return [ArmFigures(name, len(space.vectors), trips[name], median(times[name])) for name in ARMS]


async def plans(database: Database, space: Space) -> list[PlanFigures]:
    """Compare plans.

    The database has one connection, so that every search meets the same prepared statements.
    """
    inputs = list(zip(questions(EXECUTIONS), space.queries(EXECUTIONS), strict=True))
    figures = []
    for name, search in PLANNED.items():
        watches = [await _watched(database, search, words, vector) for words, vector in inputs]
        sent = watches[0].search
        assert all(watch.search.statement == sent.statement for watch in watches)
        async with database.read_engine.connect() as connection:
            custom, generic = await generic_plans(connection, sent)
            first, later = await prepared_plans(connection, sent, executions=EXECUTIONS)
        figures.append(PlanFigures(name, shape(first) == shape(later), custom, generic))
    return figures


async def _watched(database: Database, search: Search, words: str, vector: Any) -> Watch:
    with watching(database) as watch:
        async with database.reader() as view:
            assert await search(view, words, vector)
    return watch
