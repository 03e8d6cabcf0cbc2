"""The figures of an evaluation, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repositories.cli.evaluation.measuring import Figures, Kind

_HEADINGS: Final = (
    *("nDCG@10", "recall@10", "recall@100", "hit@1", "hit@10", "MRR"),
    *("queries without a result", "p50 ms", "p99 ms"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of an evaluation; its JSON has these keys, and under `searches` `Figures`.

    `judgements_of_unknown_documents` and `judgements_of_unknown_queries` count rows of the
    relevance file whose document or query is not in the collection. Such a document counts as never
    found; such a query is not searched for.
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
        """Return the report as one JSON object."""
        return asdict(self)

    def collection_figures(self) -> list[tuple[str, str]]:
        """Return names and values that describe the collection."""
        documents = _count(
            self.documents, {"without an embedding": self.documents_without_embedding}
        )
        queries = _count(
            self.queries,
            {
                "with a relevant document": self.queries_with_relevant_documents,
                "without an embedding": self.queries_without_embedding,
            },
        )
        unknown_documents, unknown_queries = (
            self.judgements_of_unknown_documents,
            self.judgements_of_unknown_queries,
        )
        judgements = _count(
            self.judgements,
            {
                "of unknown documents, which count as never found": unknown_documents,
                "of unknown queries, which are not searched for": unknown_queries,
            },
        )
        rate = self.documents / self.load_seconds
        return [
            ("documents", documents),
            ("queries", queries),
            ("judgements", judgements),
            ("embedder", self.embedder),
            ("load", f"{self.load_seconds:,.1f} s, {rate:,.0f} documents a second"),
        ]

    def table(self) -> Table:
        """Return one row for each kind of search."""
        caption = (
            f"means over {self.queries_with_relevant_documents:,} queries; "
            "latency of one search for ten"
        )
        table = Table(title=Text("Search", style="bold"), caption=caption, title_justify="left")
        table.add_column("search", no_wrap=True)
        for heading in _HEADINGS:
            table.add_column(heading, justify="right")
        for kind, figures in self.searches.items():
            table.add_row(kind.value, *_row(figures))
        return table


def _row(figures: Figures) -> list[str]:
    quality = (
        figures.ndcg_at_10,
        figures.recall_at_10,
        figures.recall_at_100,
        figures.hit_at_1,
        figures.hit_at_10,
        figures.mrr,
    )
    return [
        *(_figure(value, 3) for value in quality),
        f"{figures.queries_without_result:,}",
        _figure(figures.latency_p50_ms, 1),
        _figure(figures.latency_p99_ms, 1),
    ]


def _count(total: int, parts: Mapping[str, int]) -> str:
    return ", ".join(
        [f"{total:,}", *(f"{number:,} {what}" for what, number in parts.items() if number)]
    )


def _figure(value: float | None, digits: int) -> str:
    return "none" if value is None else f"{value:.{digits}f}"
