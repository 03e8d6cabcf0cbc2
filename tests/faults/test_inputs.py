"""Every value is stored unchanged, or refused with a documented error.

The fake and PostgreSQL agree.
"""

from __future__ import annotations

import gc
import os
import reprlib
import typing
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, get_args, get_origin
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pgvector import Vector
from pydantic import ValidationError

from domain.errors import InvalidInput
from repositories.fakes.tables import Table
from repositories.testing.stateful.comparison import Returned, differences, outcome_of, plain
from tests.contract.suites.kinds import KINDS, Kind, put
from tests.faults import drawn as hostile
from tests.stateful.driving import quietly
from tests.stateful.sides import Sides, open_sides

if TYPE_CHECKING:
    from domain.schema.base import Entity
    from repositories.testing.servers import TestServer
    from tests.contract.suites import Store
    from tests.faults.conftest import Effort, Promises

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

PROMISE: Final = "No bad value reaches the database"
SEED: Final = int(os.environ.get("FAULTS_SEED", "0"))

_BY_TYPE: Final[Mapping[type[Any], st.SearchStrategy[Any]]] = {
    str: hostile.texts,
    int: hostile.numbers,
    float: hostile.numbers,
    bool: st.sampled_from((True, False, 1, "yes", None)),
    Decimal: hostile.decimals,
    datetime: hostile.moments,
    UUID: hostile.ids,
    Vector: hostile.vectors,
    Mapping: hostile.json,
}


def plan(examples: int, *, shrinks: bool = True) -> Callable[[Any], Any]:
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink) if shrinks else (Phase.generate,),
        suppress_health_check=[
            getattr(HealthCheck, name)
            for name in ("too_slow", "data_too_large", "large_base_example", "filter_too_much")
        ],
        report_multiple_bugs=False,
    )


def try_all(
    values: st.SearchStrategy[Any],
    check: Callable[[Any], None],
    examples: int,
    *,
    shrinks: bool = True,
) -> None:
    """Check so many of the values, the same ones each time."""
    seed(SEED)(plan(examples, shrinks=shrinks)(given(values)(check)))()


@pytest.fixture
def sides(server: TestServer) -> Iterator[Sides]:
    with open_sides(server.clone()) as sides:
        yield sides
    # A fake's dimension is known for as long as the fake is there, and other tests expect another.
    vars(sides).pop("_fake")
    gc.collect()


def kind_of(annotation: Any) -> Any:
    origin = get_origin(annotation)
    if origin is Annotated:
        return kind_of(get_args(annotation)[0])
    if origin in (typing.Union, UnionType):
        return kind_of(next(choice for choice in get_args(annotation) if choice is not type(None)))
    return origin or annotation


def values_for(entity: Entity, name: str) -> st.SearchStrategy[Any]:
    """Draw mostly values of the field's type, sometimes its own value, rarely any value."""
    annotation = type(entity).model_fields[name].annotation
    fit = _BY_TYPE.get(
        kind_of(annotation),
        st.tuples(hostile.texts, hostile.texts) | st.just(getattr(entity, name)),
    )
    return st.one_of(fit, fit, fit, hostile.anything)


class Change:
    """Hostile values for some fields of a good entity; its repr is short whatever they are."""

    def __init__(self, kind: Kind, entities: tuple[Entity, ...], values: Mapping[str, Any]) -> None:
        self.kind = kind
        self.entities = entities
        self.values = values

    def __repr__(self) -> str:
        fields = (f"{name}={reprlib.repr(value)}" for name, value in self.values.items())
        return f"{self.kind}: {', '.join(fields)}"


@st.composite
def changes(draw: st.DrawFn) -> Change:
    """Draw a kind, a valid entity after those that it refers to, and hostile values of fields."""
    kind = draw(st.sampled_from(KINDS))
    entities = kind.make()
    fields = [name for name in type(entities[-1]).model_fields if name not in ("id", "tenant")]
    names = draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3, unique=True))
    return Change(kind, entities, {name: draw(values_for(entities[-1], name)) for name in names})


def given_values(entity: Entity) -> dict[str, Any]:
    return {
        name: vars(entity)[name]
        for name in type(entity).model_fields
        if name in entity.model_fields_set
    }


def rebuilt(entity: Entity, change: Mapping[str, Any]) -> Entity | None:
    """The entity with those values, or None where it refuses them."""
    try:
        return type(entity)(**{**given_values(entity), "id": vars(entity).get("id"), **change})
    except ValidationError:
        return None


def assigned(entity: Entity, change: Mapping[str, Any]) -> bool:
    """Whether every value can be assigned, one after the other."""
    try:
        for name, value in change.items():
            setattr(entity, name, value)
    except ValidationError:
        return False
    return True


def can_be_assigned(entity: Entity, name: str) -> bool:
    """Whether the field takes the value that it has; some change by an operation alone."""
    if name not in type(entity).model_fields:
        return True
    try:
        setattr(entity, name, getattr(entity, name))
    except InvalidInput:
        return False
    return True


async def stored(store: Store, kind: Kind, entities: tuple[Entity, ...]) -> Entity:
    """Write the entities, read the last one back from the store, and undo it."""
    async with store.unit_of_work() as uow:
        if kind.is_written_by_add:
            for entity in entities:
                await (
                    next(each for each in KINDS if type(each.make()[-1]) is type(entity))
                    .writer(uow)
                    .add_many([entity])
                )
        else:
            await put(uow, *entities)
        (row,) = await kind.read(uow).list(with_embedding=True)
        found_entity: Entity = row
        return found_entity


@quietly
def test_what_an_entity_accepts_is_read_back_as_it_was(
    sides: Sides, effort: Effort, promises: Promises
) -> None:
    counted: Counter[str] = Counter()

    def check(change: Change) -> None:
        *parents, good = change.entities
        new = rebuilt(good, change.values)
        counted["accepted" if new is not None else "refused"] += 1
        if new is None:
            return
        since = datetime.now(UTC)
        copies = [
            tuple(type(each)(**given_values(each)) for each in (*parents, new))
            for _ in sides.stores
        ]
        outcomes = [
            sides.run(outcome_of(partial(stored, store, change.kind, copy)))
            for store, copy in zip(sides.stores, copies, strict=True)
        ]
        sides.compare(outcomes, repr(change), since)
        for outcome in outcomes:
            if isinstance(outcome, Returned):
                require_same(new, outcome.value, since)

    try_all(changes(), check, effort.times(80, 4_000))
    assert min(counted["accepted"], counted["refused"]) > 0
    figure = (
        f"0 of {counted.total():,} entities with hostile values: {counted['refused']:,} refused "
        "with ValidationError, "
        f"{counted['accepted']:,} read back unchanged, the same from the fake and from PostgreSQL"
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
        patch.setattr(Table, "row_of", _with_texts_in_lower_case(Table.row_of))
        try_all(changes(), check, 1_000, shrinks=False)
    promises(PROMISE, figure, control="a fake that stores text in lower case fails the test")


def _with_texts_in_lower_case(
    row_of: Callable[..., dict[str, Any]],
) -> Callable[..., dict[str, Any]]:
    def lowered(*arguments: Any) -> dict[str, Any]:
        return {
            name: value.lower() if isinstance(value, str) else value
            for name, value in row_of(*arguments).items()
        }

    return lowered


def require_same(written: Entity, stored: Entity, since: datetime) -> None:
    for name, value in given_values(written).items():
        if value is not None:
            assert not list(
                differences(plain(value, since), plain(getattr(stored, name), since))
            ), name


@quietly
def test_assignment_refuses_what_construction_refuses(effort: Effort) -> None:
    from domain import known_dimensions
    from tests.conftest import DIMENSIONS

    @seed(SEED)
    @plan(effort.times(60, 3_000))
    @given(changes())
    def check(change: Change) -> None:
        good = change.entities[-1]
        name, value = next(iter(change.values.items()))
        if isinstance(value, Iterator):
            return  # can be read once only
        alone, copy = {name: value}, type(good)(**given_values(good))
        if not can_be_assigned(copy, name):
            with pytest.raises(InvalidInput, match="cannot be assigned: use"):
                assigned(copy, alone)
            return
        assert (rebuilt(good, alone) is not None) == assigned(copy, alone), change

    with known_dimensions(DIMENSIONS):
        check()
