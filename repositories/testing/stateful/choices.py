"""Choices that Hypothesis draws.

All choices of a step come from one number, digit by digit, so that a smaller number is a simpler
step and Hypothesis can shrink it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

BYTES: Final = 24


class Choices:
    """Draws from a number until no digits remain; every later draw is the first option."""

    def __init__(self, number: int) -> None:
        self._number = self._remainder = number

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        self._remainder, digit = divmod(self._remainder, limit)
        return digit

    def one_in(self, number: int) -> bool:
        """Return True once in `number` times."""
        return self.below(number) == number - 1

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]

    def maybe(self, options: Sequence[T]) -> T | None:
        """Return one of the options or, as often as each of them, None."""
        return self.pick((None, *options))

    def several(self, make: Callable[[], T], most: int = 3) -> list[T]:
        """Return one to `most` results of `make`, and an empty list once in sixteen times."""
        return [make() for _ in range(0 if self.one_in(16) else 1 + self.below(most))]

    def __repr__(self) -> str:
        return f"Choices({self._number:#x})"


CHOICES: Final = st.binary(min_size=BYTES, max_size=BYTES).map(
    lambda drawn: Choices(int.from_bytes(drawn, "big"))
)
