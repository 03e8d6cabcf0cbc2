"""The figures of an evaluation, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repositories.cli.evaluation.measuring import Figures, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an evaluation found. As JSON it has these keys, and under each of `searches` those of
    `Figures`.

    `judgements_of_unknown_documents` and `judgements_of_unknown_queries` count rows of the
    relevance file that name what the collection does not have: such a document counts as never
    found, such a query is not asked.
    """

    documents: int
    documents_without_embedding: int
    queries: int
    queries_without_embedding: int
    queries_with_relevant_documents: int
    judgements: int
    judgements_of_unknown_documents: int
    judgements_of_unknown_queries: int
    load_seconds: float
    embedder: str
    searches: Mapping[Kind, Figures]

    def as_json(self) -> dict[str, Any]:
        """Return the figures as JSON has them."""
        return asdict(self)

    def facts(self) -> list[tuple[str, str]]:
        """Return names and values of what was searched."""
        return [
            (
                "documents",
                _counted(
                    self.documents, {"without an embedding": self.documents_without_embedding}
                ),
            ),
            (
                "queries",
                _counted(
                    self.queries,
                    {
                        "with a relevant document": self.queries_with_relevant_documents,
                        "without an embedding": self.queries_without_embedding,
                    },
                ),
            ),
            (
                "judgements",
                _counted(
                    self.judgements,
                    {
                        "of unknown documents, which count as never found": self.judgements_of_unknown_documents,
                        "of unknown queries, which are not asked": self.judgements_of_unknown_queries,
                    },
                ),
            ),
            ("embedder", self.embedder),
            (
                "load",
                f"{self.load_seconds:,.1f} s, {self.documents / self.load_seconds:,.0f} documents a second",
            ),
        ]

    def table(self) -> Table:
        """Return one row for each kind of search."""
        caption = f"nDCG and recall over {self.queries_with_relevant_documents:,} queries; latency of one search for ten"
        table = Table(title=Text("Search", style="bold"), caption=caption, title_justify="left")
        table.add_column("search", no_wrap=True)
        for heading in ("nDCG@10", "recall@100", "queries without a result", "p50 ms", "p99 ms"):
            table.add_column(heading, justify="right")
        for kind, found in self.searches.items():
            rated = (
                _figure(found.ndcg_at_10, 3),
                _figure(found.recall_at_100, 3),
                f"{found.queries_without_result:,}",
            )
            table.add_row(
                kind.value,
                *rated,
                _figure(found.latency_p50_ms, 1),
                _figure(found.latency_p99_ms, 1),
            )
        return table


def _counted(count: int, some: Mapping[str, int]) -> str:
    return ", ".join(
        [f"{count:,}", *(f"{number:,} {what}" for what, number in some.items() if number)]
    )


def _figure(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"
