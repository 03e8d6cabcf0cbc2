"""The figures as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bench.both import ArmFigures, PlanFigures
    from bench.nearest import NearestFigures
    from bench.wide import WideFigures
    from bench.words import WordsFigures


def of(
    words: Sequence[WordsFigures],
    nearest: Iterable[NearestFigures],
    arms: Sequence[ArmFigures],
    plans: Iterable[PlanFigures],
    wide: Iterable[WideFigures],
) -> Iterator[Table]:
    yield _words(words)
    yield _growth(words)
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
    for figure in figures:
        times = (
            f"{value:.1f}" for value in (figure.p50, figure.p99, figure.plain_p50, figure.plain_p99)
        )
        cpu = f"{figure.cpu:.1f}", f"{figure.cpu_ratio:.2f}"
        table.add_row(
            figure.question,
            f"{figure.rows:,}",
            *times,
            f"{figure.ratio:.2f}",
            *cpu,
            f"{figure.samples}",
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


def _nearest(figures: Iterable[NearestFigures]) -> Table:
    headings = (
        "rows of 10",
        "fewest",
        "exact",
        "p50 ms",
        "cpu ms",
        "indexes",
    )
    table = _table("Vector search, by what the filter matches", *headings)
    for figure in figures:
        rows = f"{figure.rows:.1f}", f"{figure.fewest_rows}"
        table.add_row(
            figure.case,
            *rows,
            f"{figure.exact:.0%}",
            f"{figure.p50:.1f}",
            f"{figure.cpu:.1f}",
            names(figure.indexes),
        )
    return table


def _arms(figures: Sequence[ArmFigures]) -> Table:
    table = _table(
        "Hybrid search and its arms, on the server",
        "round trips",
        "server p50 ms",
        caption="planning and execution",
    )
    for figure in figures:
        table.add_row(figure.search, f"{figure.round_trips}", f"{figure.server_p50:.1f}")
    arms = sum(figure.server_p50 for figure in figures if figure.search != "hybrid")
    table.add_row("sum of the arms", "", f"{arms:.1f}")
    return table


def _plans(figures: Iterable[PlanFigures]) -> Table:
    table = _table(
        "Plans after ten executions", "same plan", "planned each time", "one plan for all"
    )
    for figure in figures:
        table.add_row(
            figure.search,
            "yes" if figure.same_plan else "NO",
            f"{figure.custom_plans}",
            f"{figure.generic_plans}",
        )
    return table


def _wide(figures: Iterable[WideFigures]) -> Table:
    headings = ("rows", "written a second", "indexes", "fewest of 10", "p50 ms")
    table = _table("Wide embeddings", *headings)
    for figure in figures:
        what = f"{figure.rows:,}", f"{figure.written_per_second:.0f}", names(figure.indexes)
        table.add_row(
            f"{figure.dimensions:,}",
            *what,
            f"{figure.fewest_rows}",
            f"{figure.p50:.1f}",
        )
    return table


def names(indexes: Iterable[str]) -> str:
    """Return what indexes are on, without the key by which the rows that were figure are read."""
    return (
        ", ".join(name.removeprefix("ix_knowledge_") for name in indexes if name != "pk_knowledge")
        or "none"
    )
