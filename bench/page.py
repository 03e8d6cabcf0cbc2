"""Write the measured figures into the pages on search and performance: `python -m bench.page`.

It reads docs/explanation/measured/*.json, which `python -m bench.search --json FILE`,
`python -m bench.tenants --json FILE` and `python -m bench --json FILE` write, and
measured/quality/*.json, which `recollect eval DIR --json > FILE` writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import blocks, judging, performance, quality
from bench.machine import Machine
from bench.plot import svg
from bench.search_targets import searches_judged
from bench.tables import names

DOCS = Path(__file__).parents[1] / "docs" / "explanation"
PAGE = DOCS / "search.md"
TENANTS_PAGE, PICTURE = DOCS / "tenant_search.md", DOCS / "tenant_search.svg"
TENANTS = DOCS / "measured" / "tenants.json"
OLDER_TENANTS = DOCS / "measured" / "tenants_16.json"
"""The recall on PostgreSQL 16."""

SEARCH, QUALITY = DOCS / "measured" / "search.json", DOCS / "measured" / "quality"
QUALITY_PICTURE = DOCS / "quality.svg"

Figures = Mapping[str, Any]


def filled(page: str, search: Figures, reports: quality.Reports) -> str:
    """Return the page with new blocks between `<!-- measured: name -->` and `<!-- end -->`.

    Raises:
        KeyError: the block does not exist.
    """
    blocks_by_name = {
        "machine": Machine(**search["machine"]).described(),
        "quality": quality.ranking_table(reports),
        "measures": quality.measures_table(reports),
        "nearest": _nearest(search["nearest"]),
        "words": _words(search["words"]),
        "growth": _growth(search),
        "bars": judging.rows(searches_judged(search)),
        "arms": _arms(search["arms"]),
        "wide": _wide(search["wide"]),
        "plans": _plans(search["plans"]),
    }
    return blocks.filled(page, blocks_by_name)


def picture(tenants: Figures) -> str:
    """Return the plot of recall against latency, on real text."""
    return svg(tenants["curve"], title="Vector search for ten of real text, by ef_search")


def tenants_filled(page: str, tenants: Figures, older: Figures) -> str:
    """Return the page on searches of tenants with new tables.

    `older` has the recall on an older version of PostgreSQL.
    """
    blocks_by_name = {
        "machine": Machine(**tenants["machine"]).described(),
        "tenants": _tenants(tenants["tenants"]),
        "older": _recall(older),
        "latency": _latency(tenants["latency"]),
        "writes": _writes(tenants["writes"]),
        "curve": _curve(tenants["curve"]),
    }
    return blocks.filled(page, blocks_by_name)


def _tenants(figures: Iterable[Figures]) -> str:
    rows = [
        (
            f"{figure['population']}: {figure['tenant']}",
            figure["queries"],
            f"{figure['dimensions']:,}",
            f"{figure['rows']:,}",
            f"{figure['recall']:.3f}",
            f"{figure['lowest_recall']:.1f}",
            f"{figure['below_half']:.1%}",
            f"{figure['exact']:.0%}",
            f"{figure['p50']:.1f}",
            f"{figure['alone_p50']:.1f}",
            f"{figure['exact_p50']:.1f}",
        )
        for figure in figures
    ]
    counts, times = ("dimensions", "rows"), ("p50 ms", "alone", "control")
    recall = ("recall@10", "lowest", "under 0.5", "exact")
    return blocks.table(("tenant", "queries", *counts, *recall, *times), rows, words=2)


def _writes(figures: Iterable[Figures]) -> str:
    rows = [
        (
            figure["work"],
            figure["way"],
            f"{figure['size'] / figure['seconds']:,.0f}",
            f"{figure['ratio']:.2f}",
        )
        for figure in figures
    ]
    return blocks.table(("work", "way", "rows/s", "x COPY"), rows, words=2)


def _recall(older: Figures) -> str:
    rows = [
        (
            f"{figure['population']}: {figure['tenant']}",
            figure["queries"],
            f"{figure['dimensions']:,}",
            f"{figure['rows']:,}",
            f"{figure['recall']:.3f}",
            f"{figure['lowest_recall']:.1f}",
            f"{figure['below_half']:.1%}",
        )
        for figure in older["tenants"]
    ]
    recall = (f"recall@10, PostgreSQL {older['machine']['postgresql']}", "lowest", "under 0.5")
    return blocks.table(("tenant", "queries", "dimensions", "rows", *recall), rows, words=2)


def _latency(figures: Iterable[Figures]) -> str:
    rows = [
        (
            f"{figure['population']}: {figure['tenant']}",
            figure["search"],
            figure["reference"],
            f"{figure['rows']:,}",
            f"{figure['p50']:.1f}",
            f"{figure['reference_p50']:.1f}",
            f"{figure['ratio']:.2f}",
            f"{figure['p95']:.1f}",
            f"{figure['reference_p95']:.1f}",
            *_processor_time(figure),
        )
        for figure in figures
    ]
    times = ("p50 ms", "there", "ratio", "p95 ms", "there", "CPU ms", "there", "ratio")
    return blocks.table(("tenant", "search", "compared with", "rows", *times), rows, words=3)


def _processor_time(figure: Figures) -> tuple[str, str, str]:
    cpu, reference = figure["cpu"], figure["reference_cpu"]
    if not cpu or not reference:
        return "–", "–", "–"
    return f"{cpu:.1f}", f"{reference:.1f}", f"{cpu / reference:.2f}"


def _curve(figures: Iterable[Figures]) -> str:
    rows = [
        (
            f"{figure['ef_search']:,}",
            f"{figure['recall']:.3f}",
            f"{figure['below_half']:.1%}",
            f"{figure['p50']:.1f}",
        )
        for figure in figures
    ]
    return blocks.table(("ef_search", "recall@10", "under 0.5", "p50 ms"), rows, words=0)


def _nearest(figures: Iterable[Figures]) -> str:
    rows = [
        (
            figure["case"],
            f"{figure['fewest_rows']}",
            f"{figure['exact']:.0%}",
            f"{figure['p50']:.1f}",
            f"{figure['cpu']:.1f}",
            names(figure["indexes"]),
        )
        for figure in figures
    ]
    return blocks.table(
        (
            "the filter matches",
            "rows of 10, at the least",
            "exact",
            "p50 ms",
            "cpu ms",
            "indexes",
        ),
        rows,
    )


def _words(figures: Iterable[Figures]) -> str:
    rows = [
        (
            figure["question"],
            f"{figure['rows']:,}",
            f"{figure['p50']:.1f}",
            f"{figure['p99']:.1f}",
            f"{figure['plain_p50']:.1f}",
            f"{figure['p50'] / figure['plain_p50']:.2f}",
            f"{figure['cpu']:.1f}",
            f"{figure['plain_cpu']:.1f}",
        )
        for figure in figures
    ]
    return blocks.table(
        (
            "the question has",
            "rows",
            "p50 ms",
            "p99 ms",
            "`ts_rank` p50 ms",
            "ratio",
            "cpu ms",
            "`ts_rank` cpu ms",
        ),
        rows,
    )


def _growth(search: Figures) -> str:
    half = len(search["words"]) // 2
    pairs = [
        *(
            (large["question"], "p50", small, large)
            for small, large in zip(search["words"][:half], search["words"][half:], strict=True)
        ),
        # A run of before the arms were measured in the small table too says nothing of their
        # growth.
        *(
            (large["search"], "server_p50", small, large)
            for small, large in zip(search.get("arms_small", ()), search["arms"], strict=False)
        ),
    ]
    rows = [
        (what, f"× {large['rows'] / small['rows']:.0f}", f"× {large[name] / small[name]:.1f}")
        for what, name, small, large in pairs
    ]
    return blocks.table(("search", "rows", "p50"), rows)


def _arms(figures: Sequence[Figures]) -> str:
    arms = sum(figure["server_p50"] for figure in figures if figure["search"] != "hybrid")
    rows = [
        (figure["search"], f"{figure['round_trips']}", f"{figure['server_p50']:.1f}")
        for figure in figures
    ]
    return blocks.table(
        ("search", "round trips", "the server's p50 ms"),
        [*rows, ("sum of the arms", "", f"{arms:.1f}")],
    )


def _wide(figures: Iterable[Figures]) -> str:
    rows = [
        (
            f"{figure['dimensions']:,}",
            f"{figure['rows']:,}",
            f"{figure['fewest_rows']}",
            f"{figure['p50']:.1f}",
        )
        for figure in figures
    ]
    return blocks.table(("dimensions", "rows", "rows of 10, at the least", "p50 ms"), rows)


def _plans(figures: Iterable[Figures]) -> str:
    rows = [
        (figure["search"], "yes" if figure["same_plan"] else "no", f"{figure['generic_plans']}")
        for figure in figures
    ]
    return blocks.table(("search", "the same plan after ten executions", "generic plans"), rows)


def main() -> None:
    """Write the pages and their pictures."""
    search, tenants = (json.loads(file.read_text(encoding="utf-8")) for file in (SEARCH, TENANTS))
    reports = quality.read_reports(QUALITY)
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), search, reports), encoding="utf-8")
    QUALITY_PICTURE.write_text(quality.picture(reports), encoding="utf-8")
    older = json.loads(OLDER_TENANTS.read_text(encoding="utf-8"))
    page = tenants_filled(TENANTS_PAGE.read_text(encoding="utf-8"), tenants, older)
    TENANTS_PAGE.write_text(page, encoding="utf-8")
    PICTURE.write_text(picture(tenants), encoding="utf-8")
    performance.write(search)


if __name__ == "__main__":
    main()
