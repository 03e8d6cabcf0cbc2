"""Random operations that every repository has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from domain import Cursor
from domain.schema.searchable import Searchable
from repositories.testing.stateful.conditions import some_filter

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from repositories.testing.stateful.world import World

E = TypeVar("E", bound="Entity")

Call: TypeAlias = Callable[[Any], Awaitable[Any]]
"""Calls a unit of work, or a reader if it only reads."""

Operation: TypeAlias = "Callable[[World], Call]"
"""Picks the arguments of a call, with `world.choices`; both sides get the same call."""

LIMITS: Final = (100, 1, 2, 3, 5, 0, 10_001)


def some_limit(world: World) -> int:
    """Return a limit, nearly always 10."""
    return 10 if world.choices.below(8) else world.choices.pick(LIMITS)


def copies(entities: Sequence[E]) -> list[E]:
    """Return copies of the entities, which one side may change."""
    return [entity.model_copy(deep=True) for entity in entities]


def some_id(world: World, kind: type[Any]) -> Any:
    """Return the id of an entity of the class; sometimes as text, and rarely a text that is none.

    The methods declare UUIDs, and accept their text.
    """
    key = world.id_of(kind)
    match world.choices.below(32):
        case 1 | 2 | 3:
            return str(key)
        case 4:
            return f"{key}-"
        case _:
            return key


def find(world: World) -> Call:
    """Get or find one entity."""
    kind, loads = world.choices.pick(world.kinds), world.choices.one_in(3)
    key, get = some_id(world, kind), world.choices.one_in(2)
    if get:
        return lambda unit: world.reader(unit, kind).get(key, with_embedding=loads)
    return lambda unit: world.reader(unit, kind).find(key, with_embedding=loads)


def get_many(world: World) -> Call:
    """Get several entities."""
    kind, loads = world.choices.pick(world.kinds), world.choices.one_in(3)
    keys = world.choices.several(lambda: some_id(world, kind), 4)
    return lambda unit: world.reader(unit, kind).get_many(keys, with_embedding=loads)


def count(world: World) -> Call:
    """Count entities, or ask whether one exists."""
    kind = world.choices.pick(world.kinds)
    condition, asks = some_filter(world, kind), world.choices.below(2)
    if asks:
        return lambda unit: world.reader(unit, kind).exists(condition)
    return lambda unit: world.reader(unit, kind).count(condition)


def list_some(world: World) -> Call:
    """List entities."""
    kind = world.choices.pick(world.kinds)
    condition, limit, loads = some_filter(world, kind), some_limit(world), world.choices.one_in(3)
    descending = world.choices.one_in(2)
    return lambda unit: world.reader(unit, kind).list(
        condition, limit=limit, descending=descending, with_embedding=loads
    )


def page(world: World) -> Call:
    """Read one page."""
    kind, choices = world.choices.pick(world.kinds), world.choices
    condition = some_filter(world, kind)
    limit, descending = 1 + choices.below(3), choices.one_in(2)
    listing = "Nothing" if choices.one_in(24) else kind.__name__
    after = (
        Cursor(listing=listing, descending=descending, id=world.id_of(kind))
        if choices.below(3)
        else None
    )
    return lambda unit: world.reader(unit, kind).page(
        condition, after=after, limit=limit, descending=descending
    )


def pages(world: World) -> Call:
    """Read up to four pages, one after the other."""
    kind = world.choices.pick(world.kinds)
    condition = some_filter(world, kind)
    limit, descending = 2 + world.choices.below(6), world.choices.one_in(2)

    async def call(unit: Any) -> Any:
        pages, after = [], None
        for _ in range(4):
            one = await world.reader(unit, kind).page(
                condition, after=after, limit=limit, descending=descending
            )
            pages.append([vars(item)["id"] for item in one.items])
            if (after := one.next) is None:
                break
        return pages

    return call


def stream(world: World) -> Call:
    """Stream entities."""
    kind = world.choices.pick(world.kinds)
    condition = some_filter(world, kind)
    size, descending = 1 + world.choices.below(5), world.choices.one_in(2)

    async def call(unit: Any) -> Any:
        streamed = world.reader(unit, kind).stream(
            condition, batch_size=size, descending=descending, with_embedding=True
        )
        # Copies, because a unit of work tracks the entities themselves.
        return tuple([one.model_copy() async for one in streamed])

    return call


def add(world: World) -> Call:
    """Add an entity of any class."""
    return add_one(world, world.choices.pick(world.addable))


def add_one(world: World, kind: type[Any]) -> Call:
    """Return a call that adds an entity of the class."""
    entity = world.maybe_invalid(kind)
    is_risky = world.is_risky

    async def call(uow: Any) -> Any:
        # Alone in its statement, so that no other entity breaks a rule in it.
        if is_risky:
            await uow.flush()
        added = world.writer(uow, kind).add(entity.model_copy(deep=True))
        if is_risky:
            await uow.flush()
        return added

    return call


def add_many(world: World) -> Call:
    """Add several entities."""
    kind = world.choices.pick(world.addable)
    entities = world.some(kind)
    return lambda uow: world.writer(uow, kind).add_many(copies(entities))


def delete(world: World) -> Call:
    """Delete an entity, or an id that does not exist."""
    kind = world.choices.pick(world.deletable)
    key = some_id(world, kind)
    return lambda uow: world.writer(uow, kind).delete(key)


def flush(_: World) -> Call:
    """Write pending changes."""
    return lambda uow: uow.flush()


READS: Final[Sequence[Operation]] = (find, get_many, count, list_some, page, pages, stream)
WRITES: Final[Sequence[Operation]] = (add, add_many, delete, flush)


def search_vectors(world: World) -> Call:
    """Search by the embedding of an entity."""
    entity, options = _search_options(world)
    embedding = vars(entity).get("embedding")
    return lambda unit: unit.repository(type(entity)).vector_search(embedding, **options)


def search_words(world: World) -> Call:
    """Search by words of an entity."""
    entity, options = _search_options(world)
    query = _query(world, entity)
    return lambda unit: unit.repository(type(entity)).keyword_search(query, **options)


def search_both(world: World) -> Call:
    """Search by words and embedding of an entity."""
    entity, options = _search_options(world)
    query, embedding = _query(world, entity), vars(entity).get("embedding")
    return lambda unit: unit.repository(type(entity)).hybrid_search(query, embedding, **options)


SEARCHES: Final[Sequence[Operation]] = (search_vectors, search_words, search_both)
"""Searches of entities that derive from `Searchable`."""


def searchable_kinds(kinds: Sequence[type[Any]]) -> Sequence[type[Any]]:
    """Return the classes that derive from `Searchable`."""
    return [kind for kind in kinds if issubclass(kind, Searchable)]


def _search_options(world: World) -> tuple[Any, dict[str, Any]]:
    entity = world.existing(world.choices.pick(searchable_kinds(world.kinds)))
    options = {
        "limit": 1 + world.choices.below(4),
        "where": some_filter(world, type(entity)),
        "distinct": world.choices.one_in(3),
    }
    return entity, options


def _query(world: World, entity: Any) -> str:
    words = str(vars(entity)[world.choices.pick(tuple(entity.search_weights()))] or "").split()
    return " ".join(words[: 1 + world.choices.below(3)])
