"""An evaluation from start to end: load and embed, measure quality and latency, report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from domain import ConfigurationError, InvalidInput
from repositories.cli.evaluation.collection import DOCUMENTS
from repositories.cli.evaluation.embedding import embeddings
from repositories.cli.evaluation.loading import load
from repositories.cli.evaluation.measuring import (
    Measurements,
    measure_latency,
    measure_quality,
    sample,
)
from repositories.cli.evaluation.report import Report
from repositories.cli.evaluation.searching import EmbeddedQuery, Searcher
from repositories.cli.evaluation.tuning import Tuner, judged_queries, require_enough
from repositories.cli.progress import progress_bars

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any

    from rich.console import Console
    from rich.progress import Progress

    from domain import Embedder
    from repositories.cli.demo.recording import Opens
    from repositories.cli.evaluation.collection import Collection, CollectionQuery, Judgements
    from repositories.cli.evaluation.loading import LoadResult
    from repositories.cli.evaluation.searching import ExactSearch
    from repositories.cli.evaluation.tuning import OpenWith, Tuning

QUERIES_PER_BATCH: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One run over `collection`, on an open database without passages.

    Attributes:
        database: the open database.
        embedder: embeds documents and queries.
        collection: the collection.
        console: shows progress if it is a terminal.
        analyze: updates the planner's statistics after the documents are loaded, so that the
            figures do not depend on when autovacuum runs.
        exact: searches the database without an index.
        open_with: opens the loaded database with other settings. If it is set, settings are tuned.
        current: the settings that tuning can change, with their values.
    """

    database: Opens
    embedder: Embedder
    collection: Collection
    console: Console
    analyze: Callable[[], Awaitable[None]]
    exact: ExactSearch
    open_with: OpenWith | None = None
    current: Mapping[str, Any] = field(default_factory=dict)

    async def run(self) -> Report:
        """Run the evaluation.

        Raises:
            ConfigurationError: The database has passages.
            EmbeddingMismatch: The database is for other embeddings.
            InvalidInput: A file of the collection is not valid; the error names the line. Or
                settings are to be tuned, and too few queries have a relevant document.
        """
        await self._require_empty()
        queries, judgements = self.collection.queries(), self.collection.judgements()
        if self.open_with is not None:
            require_enough(sum(any(judgements.get(query.id, {}).values()) for query in queries))
        with progress_bars(self.console) as progress:
            loaded = await self._load(progress, judgements)
            self.collection.require_known(loaded.judged)
            await self.analyze()
            embedded = await self._embed(queries)
            measurements = await self._measure(progress, embedded, judgements)
            tuning = await self._tune(progress, embedded, judgements)
        name = (
            f"{self.embedder.provider} {self.embedder.model}, {self.embedder.dimensions} dimensions"
        )
        return _report(embedded, judgements, loaded, measurements, embedder=name, tuning=tuning)

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
    ) -> Measurements:
        measurements = Measurements()
        searcher = Searcher(database=self.database, exact=self.exact)
        task = progress.add_task("Measuring quality", total=len(queries))
        for query in queries:
            grades = judgements.get(query.query.id, {})
            await measure_quality(searcher, query, grades, measurements)
            progress.advance(task)
        timed = sample(queries)
        task = progress.add_task("Measuring latency", total=len(timed))
        for query in timed:
            await measure_latency(searcher, query, measurements)
            progress.advance(task)
        return measurements

    async def _tune(
        self, progress: Progress, queries: Sequence[EmbeddedQuery], judgements: Judgements
    ) -> Tuning | None:
        if self.open_with is None:
            return None
        task = progress.add_task("Tuning: queries", total=None)
        return await Tuner(
            open_with=self.open_with,
            queries=judged_queries(queries, judgements),
            current=self.current,
            advance=lambda: progress.advance(task),
        ).run()


def _report(
    queries: Sequence[EmbeddedQuery],
    judgements: Judgements,
    loaded: LoadResult,
    measurements: Measurements,
    *,
    embedder: str,
    tuning: Tuning | None,
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
        judgements_of_unknown_queries=sum(
            len(grades) for query, grades in judgements.items() if query not in ids
        ),
        load_seconds=loaded.seconds,
        embedder=embedder,
        searches={kind: measured.figures() for kind, measured in measurements.kinds.items()},
        index=measurements.index_loss(),
        tuning=tuning,
    )
