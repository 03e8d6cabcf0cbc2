"""Arguments that cannot be sent to PostgreSQL.

The statements of a fake refuse them as the server's statements do.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import wraps
from inspect import iscoroutinefunction, signature
from typing import TYPE_CHECKING, Any, Final, TypeVar

from domain.values.numbers import INT32_MAX, INT64_MAX
from domain.values.text import storable
from domain.values.turns import VALUES_PER_TURN, slices

if TYPE_CHECKING:
    from repositories.fakes.transaction import Transaction

R = TypeVar("R")

_WORDS: Final = frozenset({"query", "text"})
"""Texts to search for. Characters that cannot be sent separate words."""

_NOT_SENT: Final = frozenset({"min_score", "max_distance"})
"""Thresholds, from which the distance that is sent is computed."""

_NEVER_SENT: Final = _WORDS | _NOT_SENT

_IN_32_BITS: Final = frozenset({"pr_number"})
"""Numbers that are compared with columns of 32 bits; other numbers have 64."""


class Binds:
    """Makes the first statement of every public method refuse arguments that cannot be sent.

    A method that executes no statement refuses nothing. Checks before the statement come first. The
    names of the arguments decide what is sent: see the sets of names in this module.
    """

    _transaction: Transaction

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in dir(cls):
            owner = next(each for each in cls.__mro__ if name in vars(each))
            method = vars(owner)[name]
            # A base class that binds has wrapped its own methods.
            is_bound = owner is not cls and issubclass(owner, Binds)
            if not name.startswith("_") and iscoroutinefunction(method) and not is_bound:
                setattr(cls, name, _binding(method))


def _binding(
    method: Callable[..., Coroutine[Any, Any, R]],
) -> Callable[..., Coroutine[Any, Any, R]]:
    parameters = signature(method)

    @wraps(method)
    async def bound(self: Binds, *args: Any, **kwargs: Any) -> R:
        arguments = parameters.bind(self, *args, **kwargs).arguments
        with self._transaction.binding(sendable=await all_sendable(arguments)):
            return await method(self, *args, **kwargs)

    return bound


async def all_sendable(arguments: Mapping[str, Any]) -> bool:
    """Return whether the driver can send every argument and the server accepts it.

    Other tasks run while it checks long lists.
    """
    for name, value in arguments.items():
        if name not in _NEVER_SENT:
            values = value if isinstance(value, list | tuple) else [value]
            async for some in slices(values, VALUES_PER_TURN):
                if not all(_is_sendable(name, one) for one in some):
                    return False
    return True


def _is_sendable(name: str, value: Any) -> bool:
    try:
        match value:
            case str():
                storable(value)
            case int():
                limit = INT32_MAX if name in _IN_32_BITS else INT64_MAX
                return -limit - 1 <= value <= limit
            case datetime():
                value.astimezone(UTC)
            case _:
                pass
    except (ValueError, OverflowError):
        return False
    return True
