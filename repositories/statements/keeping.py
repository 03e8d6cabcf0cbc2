"""Statements that are built once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

KEPT: Final = 512


def kept(build: Callable[P, R]) -> Callable[P, R]:
    """Return `build` with the results of its last `KEPT` different calls; building a search costs more than most searches."""
    # Its own type forgets the parameters.
    return cast("Callable[P, R]", lru_cache(KEPT)(build))
