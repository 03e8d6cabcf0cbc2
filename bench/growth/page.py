"""Write the tables of measurements into docs/explanation/growth.md.

`python -m bench.growth.page` does so from docs/explanation/measured/growth*.json, which `make
growth full=1` and the modules `mixed`, `replacement`, `bounded` and `upgrade` of `bench.growth`
write with `--json`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench import blocks
from bench.growth.measure import Growth
from bench.growth.mixed import slowdown
from bench.machine import Machine

EXPLANATION: Final = Path(__file__).parents[2] / "docs" / "explanation"
PAGE: Final = EXPLANATION / "growth.md"

Figures = Mapping[str, Any]


def measured() -> dict[str, Figures]:
    """Return the figures of each block of the page, by its name."""
    return {
        name: json.loads((EXPLANATION / "measured" / file).read_text(encoding="utf-8"))
        for name, file in {
            "growth": "growth.json",
            "mixed": "growth_mixed.json",
            "replacement": "growth_replacement.json",
            "bounded": "growth_bounded.json",
            "upgrade": "growth_upgrade.json",
        }.items()
    }


def page(written: str, figures: Mapping[str, Figures]) -> str:
    """Return the page with its tables replaced."""
    tables = {
        "growth": _growth,
        "mixed": _mixed,
        "replacement": _replacement,
        "bounded": _bounded,
        "upgrade": _upgrade,
    }
    return blocks.filled(
        written,
        {
            name: f"{Machine(**figures[name]['machine']).described()}\n\n{table(figures[name])}"
            for name, table in tables.items()
        },
    )


def _growth(results: Figures) -> str:
    """Return a table with a row for each measured call, the largest ratio first."""
    names = [f"{size['name']}, {size['rows']:,} rows: ms" for size in results["sizes"]]
    grown = sorted((Growth(**one) for one in results["growth"]), key=lambda one: -one.ratio)
    rows = [
        (
            f"`{one.operation}`",
            one.case,
            *(f"{milliseconds:,.1f}" for milliseconds in one.milliseconds),
            f"{one.ratio:.1f}",
            f"{one.rows:,}",
            one.grows or ("" if one.is_met else "**grows too much**"),
        )
        for one in grown
    ]
    head = ("operation", "case", *names, "ratio", "rows", "may grow because it")
    unused = ", ".join(f"`{name}`" for name in results["unused"]) or "none"
    return f"{blocks.table(head, rows, words=2)}\nIndexes that no measured call used: {unused}.\n"


def _mixed(results: Figures) -> str:
    """Return the p50 of each operation by minute, its slowest minute, and what else happened."""
    minutes, control = len(results["memory"]), results["control"]
    rows = [
        (
            name,
            *(f"{p50:,.0f}" for p50 in one["p50"]),
            f"{slowdown(one['p50'], control):.2f} ×",
            f"{max(one['p95']) / median(one['p95']):.2f} ×",
        )
        for name, one in results["operations"].items()
    ]
    others = [
        ("control: hashing, ms", *(f"{own:.2f}" for own in control), "", ""),
        ("memory, MB", *(f"{megabytes}" for megabytes in results["memory"]), "", ""),
    ]
    head = ("p50, ms", *map(str, range(1, minutes + 1)), "slowest", "p95")
    errors = ", ".join(f"{error} {times} times" for error, times in results["errors"].items())
    return f"{blocks.table(head, [*rows, *others])}\n\nErrors: {errors or 'none'}.\n"


def _replacement(results: Figures) -> str:
    rows = [
        (
            "yes" if one["maintained"] else "no",
            one["when"],
            f"{one['mean']:.3f}",
            f"{one['lowest']:.1f}",
            f"{one['index']:.3f}",
            f"{one['index_lowest']:.1f}",
            f"{one['dead']:.0%}",
            ", ".join(f"`{name}`" for name in one["rebuilt"]),
        )
        for one in results["recall"]
    ]
    head = (
        "maintenance",
        "after",
        "recall of searches",
        "lowest",
        "recall of the index",
        "lowest",
        "dead rows",
        "rebuilt",
    )
    return blocks.table(head, rows, words=2)


def _bounded(results: Figures) -> str:
    rows = [
        (
            one["change"],
            f"{one['rows']:,}",
            f"{one['seconds']:,.1f}",
            f"{one['longest']:.2f}",
            "yes" if one["complete"] else "**no**",
        )
        for one in results["bounded"]
    ]
    return blocks.table(("change", "rows", "seconds", "longest transaction, s", "complete"), rows)


def _upgrade(results: Figures) -> str:
    upgrade = results["upgrade"]
    rows = [(f"`{table}`", f"{longest:,.0f}") for table, longest in upgrade["longest"].items()]
    sentence = (
        f"{upgrade['rows']:,} rows of each kind, from revision {upgrade['old']} to"
        f" {upgrade['new']}: {upgrade['seconds']:.0f} s, {upgrade['commits']:,} commits meanwhile."
    )
    return f"{sentence}\n\n{blocks.table(('table', 'longest commit, ms'), rows)}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), measured()), encoding="utf-8")
