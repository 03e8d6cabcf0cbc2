"""The figures of an evaluation, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repositories.cli.evaluation.measuring import Figures, IndexLoss
    from repositories.cli.evaluation.searching import Kind
    from repositories.cli.evaluation.tuning import Tuning

_HEADINGS: Final = (
    *("nDCG@10", "recall@10", "recall@100", "hit@1", "hit@10", "MRR"),
    *("queries without a result", "p50 ms", "p99 ms"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The figures of an evaluation; its JSON has these keys, and under `searches` `Figures`.

    `judgements_of_unknown_queries` counts rows of the relevance file whose query is not in the
    collection; it is not searched for. `tuning` is None unless settings were tuned.
    """

    documents: int
    documents_without_embedding: int
    queries: int
    queries_without_embedding: int
    queries_with_relevant_documents: int
    judgements: int
    judgements_of_unknown_queries: int
    load_seconds: float
    embedder: str
    searches: Mapping[Kind, Figures]
    index: IndexLoss
    tuning: Tuning | None = None

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
        judgements = _count(
            self.judgements,
            {
                "of unknown queries, which are not searched for": (
                    self.judgements_of_unknown_queries
                ),
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

    def index_figures(self) -> list[tuple[str, str]]:
        """Return names and values of what the vector index loses against exact search."""
        missing = f"{self.index.queries_that_miss_a_document:,} of {self.index.queries:,}"
        return [
            ("recall of the ten nearest", _figure(self.index.recall_at_10, 3)),
            ("queries that miss one of them", missing),
            ("loss of nDCG@10", _figure(self.index.ndcg_at_10, 3)),
        ]

    def tuning_table(self, tuning: Tuning) -> Table:
        """Return nDCG@10 of hybrid search before and after tuning, on both halves."""
        caption = f"{tuning.queries:,} queries in two halves; one half chose the settings"
        table = Table(title=Text("Tuning", style="bold"), caption=caption, title_justify="left")
        table.add_column("nDCG@10, hybrid", no_wrap=True)
        for heading in ("half that chose", "other half"):
            table.add_column(heading, justify="right")
        rows = [("before", tuning.before), ("after", tuning.after)]
        rows += [(f"vector_weight {weight:g}", halves) for weight, halves in tuning.curve]
        for name, halves in rows:
            table.add_row(name, _figure(halves.tuning, 3), _figure(halves.held_out, 3))
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
