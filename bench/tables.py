"""The figures as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.both import ArmFigures, PlanFigures
    from bench.curve import CurvePoint
    from bench.nearest import NearestFigures
    from bench.wide import WideFigures
    from bench.words import WordsFigures


def of(
    words: Sequence[WordsFigures],
    curve: Iterable[CurvePoint],
    nearest: Iterable[NearestFigures],
    arms: Sequence[ArmFigures],
    plans: Iterable[PlanFigures],
    wide: Iterable[WideFigures],
) -> Iterator[Table]:
    yield _words(words)
    yield _growth(words)
    yield _curve(curve)
    yield _nearest(nearest)
    yield _arms(arms)
    yield _plans(plans)
    yield _wide(wide)


def _table(title: str, *headings: str, caption: str | None = None) -> Table:
    table = Table(title=title, caption=caption, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _words(figures: Iterable[WordsFigures]) -> Table:
    headings = (
        "rows",
        "p50 ms",
        "p99 ms",
        "plain p50 ms",
        "plain p99 ms",
        "p50 / plain",
        "cpu ms",
        "cpu / plain",
        "samples",
    )
    table = _table(
        "Keyword search and the plain query",
        *headings,
        caption="plain: any word, ts_rank, same LIMIT and connection",
    )
    for found in figures:
        times = (
            f"{value:.1f}" for value in (found.p50, found.p99, found.plain_p50, found.plain_p99)
        )
        cpu = f"{found.cpu:.1f}", f"{found.cpu_ratio:.2f}"
        table.add_row(
            found.question,
            f"{found.rows:,}",
            *times,
            f"{found.ratio:.2f}",
            *cpu,
            f"{found.samples}",
        )
    return table


def _growth(figures: Sequence[WordsFigures]) -> Table:
    half = len(figures) // 2
    table = _table(
        "Growth of the p50 from the small table to the large one", "keyword search", "plain query"
    )
    for small, large in zip(figures[:half], figures[half:], strict=True):
        table.add_row(
            large.question,
            f"× {large.p50 / small.p50:.1f}",
            f"× {large.plain_p50 / small.plain_p50:.1f}",
        )
    return table


def _curve(figures: Iterable[CurvePoint]) -> Table:
    table = _table("Recall against latency", "ef_search", "recall@10", "p50 ms")
    for found in figures:
        size = "" if found.ef_search is None else f"{found.ef_search}"
        table.add_row(found.way, size, f"{found.recall:.3f}", f"{found.p50:.1f}")
    return table


def _nearest(figures: Iterable[NearestFigures]) -> Table:
    headings = (
        "rows of 10",
        "fewest",
        "recall@10",
        "lowest",
        "exact",
        "p50 ms",
        "cpu ms",
        "indexes",
    )
    table = _table("Vector search, by what the filter matches", *headings)
    for found in figures:
        rows = f"{found.rows:.1f}", f"{found.fewest_rows}"
        recalls = f"{found.recall:.3f}", f"{found.lowest_recall:.1f}"
        table.add_row(
            found.case,
            *rows,
            *recalls,
            f"{found.exact:.0%}",
            f"{found.p50:.1f}",
            f"{found.cpu:.1f}",
            names(found.indexes),
        )
    return table


def _arms(figures: Sequence[ArmFigures]) -> Table:
    table = _table(
        "Hybrid search and its arms, on the server",
        "round trips",
        "server p50 ms",
        caption="planning and execution",
    )
    for found in figures:
        table.add_row(found.search, f"{found.round_trips}", f"{found.server_p50:.1f}")
    arms = sum(found.server_p50 for found in figures if found.search != "hybrid")
    table.add_row("sum of the arms", "", f"{arms:.1f}")
    return table


def _plans(figures: Iterable[PlanFigures]) -> Table:
    table = _table("Plans after ten executions", "same plan", "planned anew", "one plan for all")
    for found in figures:
        table.add_row(
            found.search,
            "yes" if found.same_plan else "NO",
            f"{found.custom_plans}",
            f"{found.generic_plans}",
        )
    return table


def _wide(figures: Iterable[WideFigures]) -> Table:
    headings = ("rows", "written a second", "indexes", "recall@10", "fewest of 10", "p50 ms")
    table = _table("Wide embeddings", *headings)
    for found in figures:
        what = f"{found.rows:,}", f"{found.written_per_second:.0f}", names(found.indexes)
        table.add_row(
            f"{found.dimensions:,}",
            *what,
            f"{found.recall:.3f}",
            f"{found.fewest_rows}",
            f"{found.p50:.1f}",
        )
    return table


def names(indexes: Iterable[str]) -> str:
    """Return what indexes are on, without the key by which the rows that were found are read."""
    return (
        ", ".join(name.removeprefix("ix_knowledge_") for name in indexes if name != "pk_knowledge")
        or "none"
    )
