"""Check that a history of reads and appends is serializable (Kingsbury and Alvaro, Elle, 2020).

Every appended value is unique, so each list shows an order: its reader comes after the writer of
its last value and before the writer of the next value. A cycle means that the history is not
serializable.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Seen:
    """One committed transaction.

    The list it read under each key, and the key under which it appended its own number.
    """

    number: int
    reads: Mapping[str, tuple[int, ...]]
    appended_to: str


@dataclass(frozen=True)
class Anomalies:
    """Anomalies of a history: lost values, and transactions that precede each other."""

    lost: int
    in_cycles: int


def anomalies(history: Sequence[Seen], final: Mapping[str, tuple[int, ...]]) -> Anomalies:
    """Judge a history by the lists that were left at its end."""
    lost = sum(one.number not in final[one.appended_to] for one in history)
    return Anomalies(lost, sum(len(part) for part in _cyclic(_order(history, final))))


def _order(history: Sequence[Seen], final: Mapping[str, tuple[int, ...]]) -> dict[int, set[int]]:
    after: dict[int, set[int]] = {one.number: set() for one in history}

    def follows(first: int, second: int) -> None:
        if first != second and first in after and second in after:
            after[first].add(second)

    for values in final.values():
        for first, second in pairwise(values):
            follows(first, second)
    for one in history:
        for key, values in one.reads.items():
            if values:
                follows(values[-1], one.number)
            stored = final.get(key, ())
            if stored[: len(values)] == values and len(stored) > len(values):
                follows(one.number, stored[len(values)])
    return after


def _cyclic(after: Mapping[int, set[int]]) -> list[set[int]]:
    """Return the strongly connected parts with more than one member (Kosaraju).

    From each every other is reached.
    """
    before: defaultdict[int, set[int]] = defaultdict(set)
    for first, seconds in after.items():
        for second in seconds:
            before[second].add(first)
    finished: list[int] = []
    _walk(after, after, finished, set(after))
    parts: list[set[int]] = []
    unseen = set(after)
    for start in reversed(finished):
        part: list[int] = []
        _walk(before, [start], part, unseen)
        if len(part) > 1:
            parts.append(set(part))
    return parts


def _walk(
    edges: Mapping[int, set[int]], starts: Iterable[int], finished: list[int], unseen: set[int]
) -> None:
    for start in starts:
        if start not in unseen:
            continue
        unseen.discard(start)
        path = [(start, iter(edges.get(start, ())))]
        while path:
            node, ahead = path[-1]
            following = next((one for one in ahead if one in unseen), None)
            if following is None:
                finished.append(node)
                path.pop()
            else:
                unseen.discard(following)
                path.append((following, iter(edges.get(following, ()))))
