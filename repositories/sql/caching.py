"""Statements that are built once."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from itertools import chain
from typing import Any, Final, ParamSpec, TypeVar, cast

from repositories.sql.filters import Where

P = ParamSpec("P")
R = TypeVar("R")

KEPT: Final = 512


def kept(build: Callable[P, R]) -> Callable[P, R]:
    """Return `build` with the results of its last `KEPT` different calls; building a search costs
    more than most searches.

    What is built of a large filter is not kept: of one by thousands of ids there is hardly a
    second.
    """
    cached: Any = lru_cache(KEPT)(build)

    @wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> R:
        if any(
            isinstance(given, Where) and given.is_large for given in chain(args, kwargs.values())
        ):
            return build(*args, **kwargs)
        return cast("R", cached(*args, **kwargs))

    vars(built)["cache_clear"] = cached.cache_clear
    return built
