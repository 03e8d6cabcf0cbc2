"""One measured call of an operation, and the arguments that calls share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bench.growth.data import ABSENT_REPO, DIMENSIONS, LARGE_REPO, SMALL_REPO
from domain import (
    Vector,
)

if TYPE_CHECKING:
    from uuid import UUID


Rows = Mapping[str, list["UUID"]]
"""Ids of stored rows, by the path of their repository."""

Call = Callable[[Any, Rows], Awaitable[Any]]

NEAR: Final = Vector([(-1.0) ** number / (1 + number % 7) for number in range(DIMENSIONS)])
WORDS: Final = "word3 word40 word900"
PLACES: Final = {"large": LARGE_REPO, "small": SMALL_REPO, "absent": ABSENT_REPO}
SUM: Final = "adds up rows"
MANY: Final = "changes all rows that meet the condition"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One measured call.

    Attributes:
        operation: the path of the operation, as `tests.contract.ports` lists it.
        case: its arguments in a word or two; empty if there is one case.
        call: the call, with a unit of work or reader and the ids of rows.
        grows: the reason for which it may grow with the rows; None if it must not.
        writes: whether it needs a unit of work, which is rolled back.
    """

    operation: str
    call: Call
    case: str = ""
    grows: str | None = None
    writes: bool = False

    @property
    def name(self) -> str:
        return f"{self.operation} · {self.case}" if self.case else self.operation
