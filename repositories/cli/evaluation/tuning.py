"""Choose settings on one half of the queries, and check them on the other half."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from hashlib import sha256
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from domain import Weights
from domain.errors import InvalidInput
from repositories.cli.evaluation.measures import ndcg
from repositories.cli.evaluation.measuring import DEPTH, index_recall
from repositories.cli.evaluation.searching import Kind

if TYPE_CHECKING:
    from repositories.cli.evaluation.collection import Judgements
    from repositories.cli.evaluation.searching import EmbeddedQuery, Searcher

OpenWith: TypeAlias = "Callable[[Mapping[str, Any]], AbstractAsyncContextManager[Searcher]]"
"""Opens the loaded database with other settings."""

FEWEST_QUERIES: Final = 40
"""Judged queries from which a choice on one half says something about the other half."""

STEPS: Final = 10
"""The weights of the vector arm that are tried are 0, 1 / STEPS, …, 1."""

TIE: Final = 0.001
"""Means of nDCG@10 that differ by less are equal: the setting then stays as it is."""

CANDIDATES: Final = (40, 64, 100, 200, 400, 1_000)
"""The values of `ef_search` that are tried, in order."""

ENOUGH: Final = 0.99
"""The index recall at which a longer list of candidates is not worth its time."""

K1: Final = (0.9, 1.2, 2.0)
B: Final = (0.25, 0.4, 0.75)


@dataclass(frozen=True, slots=True, kw_only=True)
class Halves:
    """A mean on the half that chose the settings, and on the other half."""

    tuning: float
    held_out: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Settings for this collection, with nDCG@10 of hybrid search before and after.

    `curve` has the nDCG@10 for each weight of the vector arm. The queries of a collection are
    divided by the hash of their ids.
    """

    settings: Mapping[str, float | int]
    queries: int
    before: Halves
    after: Halves
    curve: Sequence[tuple[float, Halves]]
    index_recall: Halves

    def as_json(self) -> dict[str, Any]:
        """Return the tuning as one JSON object."""
        return asdict(self)

    def environment(self) -> list[str]:
        """Return the settings as lines of an environment file."""
        return [f"RECOLLECT_{name.upper()}={value}" for name, value in self.settings.items()]


def judged_queries(
    queries: Sequence[EmbeddedQuery], judgements: Judgements
) -> list[tuple[EmbeddedQuery, Mapping[str, int]]]:
    """Return the queries that have a relevant document, with their grades."""
    graded = ((query, judgements.get(query.query.id, {})) for query in queries)
    return [(query, grades) for query, grades in graded if any(grades.values())]


def require_enough(judged: int) -> None:
    """Raise InvalidInput if a collection has too few judged queries."""
    if judged < FEWEST_QUERIES:
        raise InvalidInput(
            f"--tune needs at least {FEWEST_QUERIES} queries with a relevant document;"
            f" this collection has {judged}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuner:
    """Chooses settings for the queries, which all have a relevant document.

    `current` are the settings that can be changed, with their values; `advance` is called after
    each query of each measurement.
    """

    open_with: OpenWith
    queries: Sequence[tuple[EmbeddedQuery, Mapping[str, int]]]
    current: Mapping[str, float | int]
    advance: Callable[[], None]

    async def run(self) -> Tuning:
        """Choose BM25's parameters, then `ef_search`, then the weight of the vector arm."""
        chosen: dict[str, float | int] = {}
        chosen |= await self._bm25()
        ef_search, index = await self._ef_search(chosen)
        chosen |= ef_search
        curve = [
            (step / STEPS, await self._ndcg(Kind.HYBRID, chosen, _weights(step / STEPS)))
            for step in range(STEPS + 1)
        ]
        before = await self._ndcg(Kind.HYBRID, {}, _weights(self.current["vector_weight"]))
        weight = best_weight(curve, float(self.current["vector_weight"]))
        chosen["vector_weight"] = weight
        after = dict(curve).get(weight) or await self._ndcg(Kind.HYBRID, chosen, _weights(weight))
        return Tuning(
            settings=chosen,
            queries=len(self.queries),
            before=before,
            after=after,
            curve=curve,
            index_recall=index,
        )

    async def _bm25(self) -> dict[str, float | int]:
        if "bm25_k1" not in self.current:
            return {}
        unchanged = {name: self.current[name] for name in ("bm25_k1", "bm25_b")}
        best, quality = unchanged, (await self._ndcg(Kind.KEYWORD, unchanged)).tuning
        for k1 in K1:
            for b in B:
                tried: dict[str, float | int] = {"bm25_k1": k1, "bm25_b": b}
                measured = (await self._ndcg(Kind.KEYWORD, tried)).tuning
                if measured > quality + TIE:
                    best, quality = tried, measured
        return best

    async def _ef_search(
        self, chosen: Mapping[str, float | int]
    ) -> tuple[dict[str, float | int], Halves]:
        recalls = Halves(tuning=1.0, held_out=1.0)
        value = int(self.current["ef_search"])
        for value in CANDIDATES:
            recalls = await self._index_recall({**chosen, "ef_search": value})
            if recalls.tuning >= ENOUGH:
                break
        if value == CANDIDATES[0]:
            # The shortest list is enough, as it is if rows are compared one by one.
            value = int(self.current["ef_search"])
        return {"ef_search": value}, recalls

    async def _ndcg(
        self, kind: Kind, settings: Mapping[str, Any], weights: Weights | None = None
    ) -> Halves:
        async with self.open_with(settings) as searcher:

            async def measure(query: EmbeddedQuery, grades: Mapping[str, int]) -> float:
                ids = await searcher.ids(kind, query, limit=DEPTH, weights=weights)
                return ndcg(ids, grades, depth=DEPTH)

            return await self._means(measure)

    async def _index_recall(self, settings: Mapping[str, Any]) -> Halves:
        async with self.open_with(settings) as searcher:

            async def measure(query: EmbeddedQuery, _: Mapping[str, int]) -> float:
                nearest = await searcher.ids(Kind.EXACT, query, limit=DEPTH)
                ids = await searcher.ids(Kind.VECTOR, query, limit=DEPTH)
                return index_recall(ids, nearest) if nearest else 1.0

            return await self._means(measure)

    async def _means(self, measure: Callable[..., Any]) -> Halves:
        values: dict[bool, list[float]] = {True: [], False: []}
        async for tuning, value in self._measured(measure):
            values[tuning].append(value)
        return Halves(tuning=fmean(values[True]), held_out=fmean(values[False]))

    async def _measured(self, measure: Callable[..., Any]) -> AsyncIterator[tuple[bool, float]]:
        ordered = sorted(self.queries, key=lambda pair: sha256(pair[0].query.id.encode()).digest())
        for number, (query, grades) in enumerate(ordered):
            yield number % 2 == 0, await measure(query, grades)
            self.advance()


def best_weight(curve: Sequence[tuple[float, Halves]], current: float) -> float:
    """Return the weight with the best mean on the tuning half.

    Among equal ones it is the nearest to the better arm alone, which is what 0 and 1 measure. If
    the current weight is as good as the best one, it stays, unless an arm alone is as good too.
    """
    qualities = {weight: halves.tuning for weight, halves in curve}
    best = max(qualities.values())
    equal = [weight for weight, quality in qualities.items() if quality >= best - TIE]
    if qualities[1.0] >= qualities[0.0]:
        alone, nearest = 1.0, max(equal)
    else:
        alone, nearest = 0.0, min(equal)
    return current if current in equal and alone not in equal else nearest


def _weights(vector: float) -> Weights:
    return Weights(vector=vector, keyword=1 - vector)
