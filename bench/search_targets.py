"""Targets of searches on the large table, and of their growth from the small one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bench.targets import Verdict

Figures = Mapping[str, Any]

KEYWORD_RATIO: Final = 1.5
TAIL_RATIO: Final = 10.0
ROWS: Final = 10
NEAREST_MS: Final = 60.0
FEW_MS: Final = 5.0
FEW: Final = ("1 %", "0.1 %")
"""Filters that so few rows meet that these are compared one by one."""

VECTOR_GROWTH: Final = 2.0
HYBRID_SHARE: Final = 1.25


def searches_judged(search: Figures) -> Iterator[Verdict]:
    """Judge one run of `python -m bench.search`.

    The worst of several cases counts.
    """
    small, large = _halves(search["words"])
    yield from _keyword(large)
    yield from _nearest(search["nearest"])
    for few, many in zip(small, large, strict=True):
        yield _grown(
            f"keyword search, {many['question']}",
            few,
            many,
            "p50",
            less_than=many["rows"] / few["rows"],
        )
    for few, many in zip(search.get("arms_small", ()), search["arms"], strict=False):
        yield _arm_grown(few, many)
    yield from _hybrid(*search["arms"])
    yield _planned(search["plans"])


def _halves(words: Sequence[Figures]) -> tuple[Sequence[Figures], Sequence[Figures]]:
    return words[: len(words) // 2], words[len(words) // 2 :]


def _keyword(words: Sequence[Figures]) -> Iterator[Verdict]:
    ratio, question = max(
        (figure["p50"] / figure["plain_p50"], figure["question"]) for figure in words
    )
    yield Verdict(
        claim="Keyword search",
        work=f"p50, {question}",
        target=f"at most {KEYWORD_RATIO:g} × the time of `ts_rank`",
        measured=f"{ratio:.2f} ×",
        met=ratio <= KEYWORD_RATIO,
    )
    tail, question = max((figure["p99"] / figure["p50"], figure["question"]) for figure in words)
    yield Verdict(
        claim="Keyword search",
        work=f"p99, {question}",
        target=f"less than {TAIL_RATIO:g} × the p50",
        measured=f"{tail:.1f} ×",
        met=tail < TAIL_RATIO,
    )


def _nearest(figures: Sequence[Figures]) -> Iterator[Verdict]:
    rows, case = min((figure["fewest_rows"], figure["case"]) for figure in figures)
    yield Verdict(
        claim="Vector search",
        work=f"rows, {case}",
        target=f"always {ROWS}",
        measured=f"{rows}",
        met=rows == ROWS,
    )
    yield _fast(figures, NEAREST_MS)
    yield _fast([figure for figure in figures if figure["case"] in FEW], FEW_MS)


def _fast(figures: Sequence[Figures], less_than: float) -> Verdict:
    slowest, case = max((figure["p50"], figure["case"]) for figure in figures)
    return Verdict(
        claim="Vector search",
        work=f"p50, {case}",
        target=f"less than {less_than:g} ms",
        measured=f"{slowest:.1f} ms",
        met=slowest < less_than,
    )


def _arm_grown(few: Figures, many: Figures) -> Verdict:
    limit = VECTOR_GROWTH if many["search"] == "vector arm" else many["rows"] / few["rows"]
    return _grown(many["search"], few, many, "server_p50", less_than=limit)


def _grown(what: str, few: Figures, many: Figures, name: str, *, less_than: float) -> Verdict:
    grown, rows = many[name] / few[name], f"{few['rows']:,} to {many['rows']:,} rows"
    return Verdict(
        claim="Growth of search time",
        work=f"{what}, {rows}",
        target=f"less than × {less_than:g}",
        measured=f"× {grown:.1f}",
        met=grown < less_than,
    )


def _hybrid(vector: Figures, keyword: Figures, hybrid: Figures) -> Iterator[Verdict]:
    trips, share = (
        hybrid["round_trips"],
        hybrid["server_p50"] / (vector["server_p50"] + keyword["server_p50"]),
    )
    yield Verdict(
        claim="Round trips", work="hybrid search", target="1", measured=f"{trips}", met=trips == 1
    )
    target, measured = f"at most {HYBRID_SHARE:g} × the sum of its arms", f"{share:.2f} ×"
    yield Verdict(
        claim="Hybrid search",
        work="the server's time",
        target=target,
        measured=measured,
        met=share <= HYBRID_SHARE,
    )


def _planned(plans: Sequence[Figures]) -> Verdict:
    same = sum(figure["same_plan"] and not figure["generic_plans"] for figure in plans)
    return Verdict(
        claim="Plans",
        work="after ten executions",
        target=f"the same for all {len(plans)} searches",
        measured=f"{same}",
        met=same == len(plans),
    )
