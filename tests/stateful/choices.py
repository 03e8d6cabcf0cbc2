"""Choices that Hypothesis makes.

One number that is used up digit by digit, so that a smaller number is a simpler step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

BYTES = 24


class Choices:
    """Draws from a number until nothing is left of it; from then on the first of everything."""

    def __init__(self, number: int) -> None:
        self._given = self._left = number

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        self._left, digit = divmod(self._left, limit)
        return digit

    def one_in(self, number: int) -> bool:
        """Return True once in `number` times."""
        return self.below(number) == number - 1

    def pick(self, options: Sequence[T]) -> T:
        return options[self.below(len(options))]

    def maybe(self, options: Sequence[T]) -> T | None:
        """Return one of the options or, as often as each of them, None."""
        return self.pick((None, *options))

    def several(self, make: Callable[[], T], most: int = 3) -> list[T]:
        """Make one to `most`, or none at all once in a while."""
        return [make() for _ in range(0 if self.one_in(16) else 1 + self.below(most))]

    def __repr__(self) -> str:
        return f"Choices({self._given:#x})"


CHOICES = st.binary(min_size=BYTES, max_size=BYTES).map(
    lambda drawn: Choices(int.from_bytes(drawn, "big"))
)
