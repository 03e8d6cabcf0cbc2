"""Judge what was measured: `python -m bench.judging` prints every bar, and ends with 1 if one was missed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.bars import Verdict, verdicts
from bench.measuring import Figure
from bench.memory import GROWN

MEASURED = Path(__file__).parents[1] / "docs" / "measured"
PERFORMANCE, SEARCH = MEASURED / "performance.json", MEASURED / "search.json"


def judged(performance: Mapping[str, Any]) -> Iterator[Verdict]:
    """Judge one run of `python -m bench`."""
    yield from verdicts([Figure(**figure) for figure in performance["figures"]])
    yield _memory(*performance["memory"])


def searches_judged(search: Mapping[str, Any]) -> Iterator[Verdict]:
    """Judge one run of `python -m bench.search`."""
    yield from _growth(search["words"])
    # A run of before the arms were measured in the small table too says nothing of their growth.
    for few, many in zip(search.get("arms_small", ()), search["arms"], strict=False):
        bound = 2.0 if many["search"] == "vector arm" else many["rows"] / few["rows"]
        yield _grown(many["search"], few, many, "server_p50", less_than=bound)
    yield from _hybrid(*search["arms"])


def _memory(few: Mapping[str, Any], many: Mapping[str, Any]) -> Verdict:
    grown = many["megabytes"] / max(1.0, few["megabytes"])
    return Verdict(
        claim="Memory of a bulk write",
        work=f"write {few['rows']:,} and {many['rows']:,} chunks from a generator",
        asked=f"bounded: less than twice as much for {GROWN} times the rows",
        measured=f"{few['megabytes']:.0f} and {many['megabytes']:.0f} MB",
        met=grown < 2,
    )


def _growth(words: Sequence[Mapping[str, Any]]) -> Iterator[Verdict]:
    half = len(words) // 2
    for small, large in zip(words[:half], words[half:], strict=True):
        yield _grown(f"keyword search, {large['question']}", small, large, "p50", less_than=large["rows"] / small["rows"])


def _hybrid(vector: Mapping[str, Any], keyword: Mapping[str, Any], hybrid: Mapping[str, Any]) -> Iterator[Verdict]:
    trips, share = hybrid["round_trips"], hybrid["server_p50"] / (vector["server_p50"] + keyword["server_p50"])
    yield Verdict(claim="Round trips", work="hybrid search", asked="1", measured=f"{trips}", met=trips == 1)
    asked, measured = "at most 1.25 × the sum of its arms", f"{share:.2f} ×"
    yield Verdict(claim="Hybrid search", work="the server's time", asked=asked, measured=measured, met=share <= 1.25)


def _grown(what: str, small: Mapping[str, Any], large: Mapping[str, Any], name: str, *, less_than: float) -> Verdict:
    grown, rows = large[name] / small[name], f"{small['rows']:,} to {large['rows']:,} rows"
    return Verdict(
        claim="Growth of search time",
        work=f"{what}, {rows}",
        asked=f"less than × {less_than:g}",
        measured=f"× {grown:.1f}",
        met=grown < less_than,
    )


def table(found: Sequence[Verdict]) -> Table:
    """Return the verdicts as a table for a terminal."""
    shown = Table("", "claim", "work", "asked", "measured")
    for verdict in found:
        shown.add_row("ok" if verdict.met else "MISSED", verdict.claim, verdict.work, verdict.asked, verdict.measured)
    return shown


def main() -> int:
    performance, search = (json.loads(file.read_text(encoding="utf-8")) for file in (PERFORMANCE, SEARCH))
    found = [*judged(performance), *searches_judged(search)]
    Console().print(table(found))
    return 0 if all(verdict.met for verdict in found) else 1


if __name__ == "__main__":
    sys.exit(main())
