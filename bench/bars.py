"""What the library has to reach beside others in the same run, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from bench.measuring import Figure
from bench.peers.ways import DOCUMENTS, LANGCHAIN

COPY: Final = "COPY by the driver"
UNNEST: Final = "INSERT from unnest by the driver"
FETCH: Final = "fetch by the driver"
ROW: Final = "fetchrow by the driver"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One way's time against another's for the same work: at most so many times as long, or at
    least so many times as fast.

    `work` is a pattern of the work's name, as for files. Bars beside peers are judged where the
    peers were measured."""

    claim: str
    work: str
    way: str
    beside: str
    at_most: float | None = None
    at_least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A claim, what it asks for, and what was measured."""

    claim: str
    work: str
    asked: str
    measured: str
    met: bool


_ADD, _UPSERT, _SEARCH = (
    "knowledge.add_many",
    "knowledge.upsert_many",
    "knowledge.vector_search in an open reader",
)
_WITHOUT, _WITH = "write * chunks without a vector index", "write * chunks into a vector index"

BARS: Final = (
    Bar(claim="Write new rows", work=_WITHOUT, way=_ADD, beside=COPY, at_most=1 / 0.85),
    Bar(claim="Write new rows", work=_WITHOUT, way=_ADD, beside=LANGCHAIN, at_least=10),
    Bar(claim="Write new rows", work=_WITHOUT, way=_ADD, beside=DOCUMENTS, at_least=15),
    Bar(
        claim="Upsert",
        work="upsert * without a vector index, *",
        way=_UPSERT,
        beside=UNNEST,
        at_most=1 / 0.85,
    ),
    Bar(claim="Write new rows into an index", work=_WITH, way=_ADD, beside=COPY, at_most=1.05),
    Bar(
        claim="Upsert into an index",
        work="upsert * into a vector index, *",
        way=_UPSERT,
        beside=UNNEST,
        at_most=1.05,
    ),
    Bar(
        claim="Initial load",
        work="load *",
        way="Database.initial_load",
        beside="knowledge.add_many, index in place",
        at_least=4,
    ),
    Bar(
        claim="Record events",
        work="record *",
        way="telemetry.record_many",
        beside=COPY,
        at_most=1 / 0.8,
    ),
    Bar(
        claim="Record single events",
        work="* single events *",
        way="recorder, each event awaited",
        beside="one transaction per event",
        at_least=5,
    ),
    Bar(
        claim="Drop a month",
        work="be rid of *",
        way="drop_telemetry_before",
        beside="DELETE",
        at_least=100,
    ),
    Bar(
        claim="Get a tracked row",
        work="one tracked chunk by key",
        way="knowledge.get in an open unit of work",
        beside="the ORM's statement by hand",
        at_most=1.1,
    ),
    Bar(
        claim="Get a row",
        work="one chunk by key",
        way="knowledge.get in an open reader",
        beside=ROW,
        at_most=1.5,
    ),
    Bar(
        claim="Open a reader and get",
        work="one chunk by key",
        way="a reader opened for one knowledge.get",
        beside=ROW,
        at_most=3.5,
    ),
    Bar(
        claim="Read a hundred rows",
        work="a hundred chunks",
        way="knowledge.list in an open reader",
        beside=FETCH,
        at_most=1.5,
    ),
    Bar(claim="Search by vector", work="ten nearest of *", way=_SEARCH, beside=FETCH, at_most=1.15),
    Bar(
        claim="Search by vector", work="ten nearest of *", way=_SEARCH, beside=LANGCHAIN, at_least=4
    ),
    Bar(
        claim="Import",
        work="importing",
        way="import domain",
        beside="import sqlmodel",
        at_most=1.15,
    ),
)


def verdicts(figures: Sequence[Figure]) -> Iterator[Verdict]:
    """Judge every bar whose two ways were measured."""
    for bar in BARS:
        for work in dict.fromkeys(
            figure.work for figure in figures if fnmatchcase(figure.work, bar.work)
        ):
            times = {figure.way: figure.seconds for figure in figures if figure.work == work}
            if bar.way in times and bar.beside in times:
                yield _judged(bar, work, times[bar.way] / times[bar.beside])


def _judged(bar: Bar, work: str, ratio: float) -> Verdict:
    if bar.at_most is not None:
        asked, measured, met = (
            f"at most {bar.at_most:.2f} × the time of {bar.beside}",
            f"{ratio:.2f} ×",
            ratio <= bar.at_most,
        )
    else:
        least = bar.at_least or 0
        asked, measured, met = (
            f"at least {least:g} × as fast as {bar.beside}",
            f"{1 / ratio:.1f} ×",
            1 / ratio >= least,
        )
    return Verdict(claim=bar.claim, work=work, asked=asked, measured=measured, met=met)
