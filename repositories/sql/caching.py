"""A cache of statements."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import chain
from typing import Any, Final, ParamSpec, TypeVar, cast

from repositories.sql.filters import FilterKey

P = ParamSpec("P")
R = TypeVar("R")

CACHE_SIZE: Final = 512


def cached_statement(build: Callable[P, R]) -> Callable[P, R]:
    """Return `build` with a cache of the results of its last `CACHE_SIZE` different calls.

    Building a search costs more than most searches. Statements with large filters are not cached:
    a filter by thousands of ids is hardly used twice.
    """
    cached: Any = lru_cache(CACHE_SIZE)(build)

    @wraps(build)
    def cached_build(*args: P.args, **kwargs: P.kwargs) -> R:
        if any(
            isinstance(argument, FilterKey) and argument.is_large
            for argument in chain(args, kwargs.values())
        ):
            return build(*args, **kwargs)
        return cast("R", cached(*args, **kwargs))

    vars(cached_build)["cache_clear"] = cached.cache_clear
    return cached_build
