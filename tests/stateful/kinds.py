"""Kinds of entities, and where each is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from tests.contract.suites.kinds import KINDS, Kind

if TYPE_CHECKING:
    from domain import UnitOfWork
    from tests.stateful.world import World

Call: TypeAlias = "Callable[[UnitOfWork], Awaitable[Any]]"
"""What is done to each side; a read is given a reader as well."""

Operation: TypeAlias = "Callable[[World], Call]"
"""Chooses a call."""

KIND_OF: Final[Mapping[type[Any], Kind]] = {type(kind.make()[-1]): kind for kind in KINDS}
WRITTEN_BY_ADD: Final = tuple(entity for entity, kind in KIND_OF.items() if kind.is_written_by_add)
DELETABLE: Final = tuple(entity for entity, kind in KIND_OF.items() if kind.is_deletable)
ALL: Final = tuple(KIND_OF)
