"""Targets of the library next to the driver and other libraries, measured in the same run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from bench.measuring import Figure
from bench.peers.ways import DOCUMENTS, LANGCHAIN, SEARCHING_PEERS

COPY: Final = "COPY by the driver"
UNNEST: Final = "INSERT from unnest by the driver"
FETCH: Final = "fetch by the driver"
ROW: Final = "fetchrow by the driver"


@dataclass(frozen=True, kw_only=True)
class Target:
    """A limit on the ratio of two ways' times for the same work.

    Exactly one of `at_most` (times as long) and `at_least` (times as fast) is given. `work` is a
    pattern of the work's name, as for files. The target applies to works of `size_from` rows or
    events and more. Targets next to other libraries apply only where those were measured.
    """

    claim: str
    work: str
    way: str
    beside: str
    at_most: float | None = None
    at_least: float | None = None
    size_from: int = 0

    def applies_to(self, figure: Figure) -> bool:
        """Return whether the target limits this work at this size."""
        is_large_enough = figure.size is None or figure.size >= self.size_from
        return is_large_enough and fnmatchcase(figure.work, self.work)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target in words, the measured value, and whether the target is met."""

    claim: str
    work: str
    target: str
    measured: str
    met: bool


_ADD, _UPSERT, _SEARCH = (
    "knowledge.add_many",
    "knowledge.upsert_many",
    "knowledge.vector_search in an open reader",
)
_WITHOUT, _WITH = "write * chunks without a vector index", "write * chunks into a vector index"
_NEAREST = "ten nearest of *"

TARGETS: Final = (
    Target(
        claim="Write new rows",
        work=_WITHOUT,
        way=_ADD,
        beside=COPY,
        at_most=1 / 0.85,
        size_from=4_000,
    ),
    Target(claim="Write new rows", work=_WITHOUT, way=_ADD, beside=LANGCHAIN, at_least=10),
    Target(claim="Write new rows", work=_WITHOUT, way=_ADD, beside=DOCUMENTS, at_least=15),
    Target(
        claim="Upsert",
        work="upsert * without a vector index, *",
        way=_UPSERT,
        beside=UNNEST,
        at_most=1 / 0.85,
        size_from=4_000,
    ),
    Target(
        claim="Write new rows into an index",
        work=_WITH,
        way=_ADD,
        beside=COPY,
        at_most=1.05,
        size_from=400,
    ),
    Target(
        claim="Upsert into an index",
        work="upsert * into a vector index, *",
        way=_UPSERT,
        beside=UNNEST,
        at_most=1.05,
        size_from=400,
    ),
    Target(
        claim="Initial load",
        work="load *",
        way="Database.initial_load",
        beside="knowledge.add_many, index in place",
        at_least=4,
        size_from=10_000,
    ),
    Target(
        claim="Record events",
        work="record *",
        way="telemetry.record_many",
        beside=COPY,
        at_most=1 / 0.8,
        size_from=100_000,
    ),
    Target(
        claim="Record single events",
        work="* single events *",
        way="recorder, all written when it is closed",
        beside="one transaction per event",
        at_least=5,
        size_from=4_000,
    ),
    Target(
        claim="Drop a month",
        work="be rid of *",
        way="drop_telemetry_before",
        beside="DELETE and VACUUM",
        at_least=1,
        size_from=100_000,
    ),
    Target(
        claim="Get a tracked row",
        work="one tracked chunk by key",
        way="knowledge.get in an open unit of work",
        beside="the ORM's statement by hand",
        at_most=1.1,
    ),
    Target(
        claim="Get a row",
        work="one chunk by key",
        way="knowledge.get in an open reader",
        beside=ROW,
        at_most=2,
    ),
    Target(
        claim="Open a reader and get",
        work="one chunk by key",
        way="a reader opened for one knowledge.get",
        beside=ROW,
        at_most=4,
    ),
    Target(
        claim="Read a hundred rows",
        work="a hundred chunks",
        way="knowledge.list in an open reader",
        beside=FETCH,
        at_most=2.5,
    ),
    Target(
        claim="Search by vector",
        work=_NEAREST,
        way=_SEARCH,
        beside=FETCH,
        at_most=1.3,
        size_from=50_000,
    ),
    *(
        Target(claim="Search by vector", work=_NEAREST, way=_SEARCH, beside=peer, at_least=1)
        for peer in SEARCHING_PEERS
    ),
    Target(
        claim="Import",
        work="importing",
        way="import domain",
        beside="import sqlmodel",
        at_most=1.15,
    ),
)


def verdicts(figures: Sequence[Figure]) -> Iterator[Verdict]:
    """Yield a verdict for each target that applies to what was measured."""
    for target in TARGETS:
        works = dict.fromkeys(figure.work for figure in figures if target.applies_to(figure))
        for work in works:
            times = {figure.way: figure.seconds for figure in figures if figure.work == work}
            if target.way in times and target.beside in times:
                yield _verdict(target, work, times[target.way] / times[target.beside])


def _verdict(target: Target, work: str, ratio: float) -> Verdict:
    if target.at_most is not None:
        words = f"at most {target.at_most:.2f} × the time of {target.beside}"
        measured, met = f"{ratio:.2f} ×", ratio <= target.at_most
    else:
        least = target.at_least or 0
        words = f"at least {least:g} × as fast as {target.beside}"
        measured, met = f"{1 / ratio:.1f} ×", 1 / ratio >= least
    return Verdict(claim=target.claim, work=work, target=words, measured=measured, met=met)
