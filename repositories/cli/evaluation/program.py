"""An evaluation from start to end: load and embed, measure quality and latency, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain import ConfigurationError, InvalidInput
from repositories.cli.evaluation.collection import DOCUMENTS
from repositories.cli.evaluation.embedding import embeddings
from repositories.cli.evaluation.loading import load
from repositories.cli.evaluation.measuring import (
    EmbeddedQuery,
    Kind,
    Measurement,
    measure_latency,
    measure_quality,
    sample,
)
from repositories.cli.evaluation.report import Report
from repositories.cli.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress

    from repositories.cli.demo.recording import CountsTokens, Opens
    from repositories.cli.evaluation.collection import Collection, CollectionQuery, Judgements
    from repositories.cli.evaluation.loading import LoadResult

QUERIES_PER_BATCH: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One run over `collection`, on an open database without passages.

    `analyze` updates the planner's statistics after the documents are loaded, so that the latency
    does not depend on when autovacuum runs. Progress is shown if `console` is a terminal.
    """

    database: Opens
    embedder: CountsTokens
    collection: Collection
    console: Console
    analyze: Callable[[], Awaitable[None]]

    async def run(self) -> Report:
        """Run the evaluation.

        Raises:
            ConfigurationError: The database has passages.
            EmbeddingMismatch: The database is for other embeddings.
            InvalidInput: A file of the collection is not valid; the error names the line.
        """
        await self._require_empty()
        queries, judgements = self.collection.queries(), self.collection.judgements()
        with progress_bars(self.console) as progress:
            loaded = await self._load(progress, judgements)
            await self.analyze()
            embedded = await self._embed(queries)
            measurements = await self._measure(progress, embedded, judgements)
        name = (
            f"{self.embedder.provider} {self.embedder.model}, {self.embedder.dimensions} dimensions"
        )
        return _report(embedded, judgements, loaded, measurements, embedder=name)

    async def _require_empty(self) -> None:
        async with self.database.reader() as view:
            if await view.knowledge.exists():
                raise ConfigurationError(
                    "this database has passages: an evaluation needs an empty one"
                )
            await view.embedding_metadata.check_compatible(
                provider=self.embedder.provider,
                model=self.embedder.model,
                dimensions=self.embedder.dimensions,
            )

    async def _load(self, progress: Progress, judgements: Judgements) -> LoadResult:
        task = progress.add_task("Loading documents", total=None)
        judged = frozenset(document for grades in judgements.values() for document in grades)
        loaded = await load(
            self.database,
            self.embedder,
            self.collection.documents(),
            judged=judged,
            advance=lambda count: progress.advance(task, count),
        )
        progress.update(task, total=loaded.documents)
        if not loaded.documents:
            raise InvalidInput(f"{DOCUMENTS} has no document")
        return loaded

    async def _embed(self, queries: Sequence[CollectionQuery]) -> list[EmbeddedQuery]:
        embedded: list[EmbeddedQuery] = []
        for start in range(0, len(queries), QUERIES_PER_BATCH):
            batch = queries[start : start + QUERIES_PER_BATCH]
            vectors = await embeddings(self.embedder, [query.text for query in batch])
            embedded += [
                EmbeddedQuery(query=query, embedding=vector)
                for query, vector in zip(batch, vectors, strict=True)
            ]
        return embedded

    async def _measure(
        self, progress: Progress, queries: Sequence[EmbeddedQuery], judgements: Judgements
    ) -> dict[Kind, Measurement]:
        measurements = {kind: Measurement() for kind in Kind}
        task = progress.add_task("Measuring quality", total=len(queries))
        for query in queries:
            grades = judgements.get(query.query.id, {})
            await measure_quality(self.database, query, grades, measurements)
            progress.advance(task)
        timed = sample(queries)
        task = progress.add_task("Measuring latency", total=len(timed))
        for query in timed:
            await measure_latency(self.database, query, measurements)
            progress.advance(task)
        return measurements


def _report(
    queries: Sequence[EmbeddedQuery],
    judgements: Judgements,
    loaded: LoadResult,
    measurements: Mapping[Kind, Measurement],
    *,
    embedder: str,
) -> Report:
    ids = {query.query.id for query in queries}
    documents = [document for grades in judgements.values() for document in grades]
    return Report(
        documents=loaded.documents,
        documents_without_embedding=loaded.without_embedding,
        queries=len(queries),
        queries_without_embedding=sum(query.embedding is None for query in queries),
        queries_with_relevant_documents=sum(
            query in ids and any(grades.values()) for query, grades in judgements.items()
        ),
        judgements=len(documents),
        judgements_of_unknown_documents=sum(
            document not in loaded.judged for document in documents
        ),
        judgements_of_unknown_queries=sum(
            len(grades) for query, grades in judgements.items() if query not in ids
        ),
        load_seconds=loaded.seconds,
        embedder=embedder,
        searches={kind: measurement.figures() for kind, measurement in measurements.items()},
    )
