"""An evaluation from end to end: load, embed, ask, report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain import ConfigurationError, InvalidInput
from repositories.cli.evaluation.collection import DOCUMENTS
from repositories.cli.evaluation.embedding import embeddings
from repositories.cli.evaluation.loading import load
from repositories.cli.evaluation.measuring import Asked, Kind, Measurement, measure
from repositories.cli.evaluation.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from repositories.cli.demo.recording import CountsTokens, Opens
    from repositories.cli.evaluation.collection import Collection, Judgements, Query
    from repositories.cli.evaluation.loading import Loaded

QUERIES_AT_A_TIME: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One run over `collection`, on an open database without passages.

    Progress is shown where `console` is a terminal.
    """

    database: Opens
    embedder: CountsTokens
    collection: Collection
    console: Console

    async def run(self) -> Report:
        """Do all of it.

        Raises:
            ConfigurationError: the database holds passages already.
            EmbeddingMismatch: it holds embeddings of another kind.
            InvalidInput: a file of the collection cannot be read; it is named with the line.
        """
        await self._require_fresh()
        queries, judgements = self.collection.queries(), self.collection.judgements()
        with self._progress() as progress:
            loaded = await self._load(progress, judgements)
            measurements, without_embedding = await self._measure(progress, queries, judgements)
        name = (
            f"{self.embedder.provider} {self.embedder.model}, {self.embedder.dimensions} dimensions"
        )
        return _report(
            queries,
            judgements,
            loaded,
            measurements,
            embedder=name,
            queries_without_embedding=without_embedding,
        )

    async def _require_fresh(self) -> None:
        async with self.database.reader() as view:
            if await view.knowledge.exists():
                raise ConfigurationError(
                    "this database holds passages already: an evaluation needs an empty one"
                )
            await view.embedding_metadata.check_compatible(
                provider=self.embedder.provider,
                model=self.embedder.model,
                dimensions=self.embedder.dimensions,
            )

    async def _load(self, progress: Progress, judgements: Judgements) -> Loaded:
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
            raise InvalidInput(f"{DOCUMENTS} holds no document")
        return loaded

    async def _measure(
        self, progress: Progress, queries: Sequence[Query], judgements: Judgements
    ) -> tuple[dict[Kind, Measurement], int]:
        task = progress.add_task("Asking queries", total=len(queries))
        measurements = {kind: Measurement() for kind in Kind}
        without_embedding = 0
        for start in range(0, len(queries), QUERIES_AT_A_TIME):
            batch = queries[start : start + QUERIES_AT_A_TIME]
            for query, vector in zip(
                batch, await embeddings(self.embedder, [query.text for query in batch]), strict=True
            ):
                without_embedding += vector is None
                asked = Asked(query=query, embedding=vector)
                await measure(self.database, asked, judgements.get(query.id, {}), measurements)
                progress.advance(task)
        return measurements, without_embedding

    def _progress(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        return Progress(
            *columns, console=self.console, disable=not self.console.is_terminal, transient=True
        )


def _report(
    queries: Sequence[Query],
    judgements: Judgements,
    loaded: Loaded,
    measurements: Mapping[Kind, Measurement],
    *,
    embedder: str,
    queries_without_embedding: int,
) -> Report:
    asked = {query.id for query in queries}
    of_documents = [document for grades in judgements.values() for document in grades]
    return Report(
        documents=loaded.documents,
        documents_without_embedding=loaded.without_embedding,
        queries=len(queries),
        queries_without_embedding=queries_without_embedding,
        queries_with_relevant_documents=sum(
            query in asked and any(grades.values()) for query, grades in judgements.items()
        ),
        judgements=len(of_documents),
        judgements_of_unknown_documents=sum(
            document not in loaded.judged for document in of_documents
        ),
        judgements_of_unknown_queries=sum(
            len(grades) for query, grades in judgements.items() if query not in asked
        ),
        load_seconds=loaded.seconds,
        embedder=embedder,
        searches={kind: measurement.figures() for kind, measurement in measurements.items()},
    )
