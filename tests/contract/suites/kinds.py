"""Every kind of entity that repositories keep.

Each kind has a repository, a factory and a way to write an entity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from domain import RateLimitEvent, ResilienceEvent, RetrievalQualityEvent
from domain.values.text import DEFAULT_TENANT
from repositories.registry import LIBRARY
from tests.contract.suites import samples

if TYPE_CHECKING:
    from domain import ReadRepository, ReadUnitOfWork, Repository, UnitOfWork
    from domain.schema.base import Entity
    from tests.contract.suites.store import Store

Unit: TypeAlias = "UnitOfWork | ReadUnitOfWork"


@dataclass(frozen=True, slots=True)
class Kind:
    """Entities of the repository at `path` of a unit of work.

    `make` returns one, after those that it refers to.
    """

    path: str
    make: Callable[[], tuple[Entity, ...]]
    is_written_by_add: bool = True
    is_of_tenant: bool = True

    @property
    def is_deletable(self) -> bool:
        """Whether a tenant can delete rows: only those of its own."""
        return self.is_written_by_add and self.is_of_tenant

    def read(self, unit: Unit) -> ReadRepository[Any]:
        """Return the repository, to read from it."""
        repository: ReadRepository[Any] = attrgetter(self.path)(unit)
        return repository

    def writer(self, uow: UnitOfWork) -> Repository[Any]:
        """Return the repository, to write to it."""
        repository: Repository[Any] = attrgetter(self.path)(uow)
        return repository

    def __str__(self) -> str:
        return self.path


def _alone(make: Callable[[], Entity]) -> Callable[[], tuple[Entity, ...]]:
    return lambda: (make(),)


def _finding() -> tuple[Entity, ...]:
    of = samples.review()
    return of, samples.finding(of)


def _suppression() -> tuple[Entity, ...]:
    of = samples.review()
    return of, samples.suppression(of)


def _reaction() -> tuple[Entity, ...]:
    of = samples.review()
    to = samples.finding(of)
    return of, to, samples.reaction(to)


MAKERS: Final[Mapping[str, Callable[[], tuple[Entity, ...]]]] = {
    "knowledge": _alone(samples.chunk),
    "reviews": _alone(samples.review),
    "findings": _finding,
    "suppressions": _suppression,
    "reactions": _reaction,
    "memories": _alone(samples.memory),
    "patterns": _alone(samples.pattern),
    "runs": _alone(samples.run),
    "checkpoints": _alone(samples.checkpoint),
    "authors": _alone(samples.author),
    "dependency_bumps": _alone(samples.bump),
    "telemetry": _alone(samples.event),
}
"""How an entity of each registered repository is made, after those that it refers to."""


def _maker(name: str) -> Callable[[], tuple[Entity, ...]]:
    try:
        return MAKERS[name]
    except KeyError:
        raise LookupError(
            f"the repository {name!r} has no sample: write one in tests/contract/suites/samples.py,"
            " and add its line to MAKERS in tests/contract/suites/kinds.py"
        ) from None


def _registered() -> Iterator[Kind]:
    for registration in LIBRARY:
        if (entity := registration.entity_class) is not None:
            is_of_tenant = "tenant" in entity.model_fields
            yield Kind(registration.name, _maker(registration.name), is_of_tenant=is_of_tenant)


KINDS: Final = (
    *_registered(),
    Kind("telemetry.rate_limits", _alone(samples.rate_limit), is_written_by_add=False),
    Kind("telemetry.retrieval_quality", _alone(samples.retrieval_quality), is_written_by_add=False),
    Kind("telemetry.resilience", _alone(samples.resilience), is_written_by_add=False),
)

_OF_TYPE: Final[Mapping[type[Entity], Kind]] = {type(kind.make()[-1]): kind for kind in KINDS}


async def put(uow: UnitOfWork, *entities: Entity) -> None:
    """Write the entities, each to the repository of its kind."""
    for entity in entities:
        match entity:
            case RateLimitEvent():
                await uow.telemetry.record_rate_limit(entity)
            case RetrievalQualityEvent():
                await uow.telemetry.record_retrieval_quality(entity)
            case ResilienceEvent():
                await uow.telemetry.record_resilience(entity)
            case _:
                _OF_TYPE[type(entity)].writer(uow).add(entity)


async def write(store: Store, *entities: Entity, tenant: str = DEFAULT_TENANT) -> None:
    """Write the entities and commit."""
    async with store.unit_of_work(tenant=tenant) as uow:
        await put(uow, *entities)
        await uow.commit()


def facts(entity: Entity) -> dict[str, Any]:
    """Return the entity's values, without an embedding: most reads leave it out."""
    fields = type(entity).model_fields
    return {
        name: value
        for name, value in vars(entity).items()
        if name in fields and name != "embedding"
    }


def made(kind: Kind, number: int) -> Iterator[tuple[Entity, ...]]:
    """Make so many entities of the kind, each with those that it refers to."""
    return (kind.make() for _ in range(number))
