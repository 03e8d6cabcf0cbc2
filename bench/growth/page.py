"""Write the table of measurements into docs/explanation/growth.md.

`python -m bench.growth.page` does so from docs/explanation/measured/growth.json.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from bench import blocks
from bench.growth.measure import Growth
from bench.machine import Machine

EXPLANATION: Final = Path(__file__).parents[2] / "docs" / "explanation"
PAGE: Final = EXPLANATION / "growth.md"
MEASURED: Final = EXPLANATION / "measured" / "growth.json"


def table(results: Mapping[str, Any]) -> str:
    """Return the machine and a table with a row for each measured call, the largest ratio first."""
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
    return (
        f"{Machine(**results['machine']).described()}\n\n{blocks.table(head, rows, words=2)}\n"
        f"Indexes that no measured call used: {unused}.\n"
    )


def page(written: str, results: Mapping[str, Any]) -> str:
    """Return the page with the table replaced."""
    return blocks.filled(written, {"growth": table(results)})


if __name__ == "__main__":
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), measured), encoding="utf-8")
