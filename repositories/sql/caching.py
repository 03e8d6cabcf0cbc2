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
"""The most statements without a filter that each function keeps."""

FILTERED_CACHE_SIZE: Final = 96
"""The most statements with filters that all functions keep.

Each has its own values. A search takes 300 to 600 kB with what SQLAlchemy stores for it, so a cache
of 512 for each function grew by hundreds of megabytes in a program with ever new filters.
"""


def cached_statement(build: Callable[P, R]) -> Callable[P, R]:
    """Return `build` with a cache of the results of its last calls.

    Building a search costs more than most searches. Statements with large filters are not cached:
    a filter by thousands of ids is hardly used twice.
    """
    cached: Any = lru_cache(CACHE_SIZE)(build)

    @wraps(build)
    def cached_build(*args: P.args, **kwargs: P.kwargs) -> R:
        keys = [key for key in chain(args, kwargs.values()) if isinstance(key, FilterKey)]
        if any(key.is_large for key in keys):
            return build(*args, **kwargs)
        if any(key.filters for key in keys):
            return cast("R", _built_with_filter(build, args, tuple(kwargs.items())))
        return cast("R", cached(*args, **kwargs))

    def clear() -> None:
        cached.cache_clear()
        _built_with_filter.cache_clear()

    vars(cached_build)["cache_clear"] = clear
    return cached_build


@lru_cache(FILTERED_CACHE_SIZE)
def _built_with_filter(
    build: Callable[..., Any], args: tuple[Any, ...], kwargs: tuple[tuple[str, Any], ...]
) -> Any:
    return build(*args, **dict(kwargs))
