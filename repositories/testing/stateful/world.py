"""The entities of a random program: those it made so far, and new ones that refer to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from uuid import UUID

from annotated_types import Ge, Gt
from sqlalchemy import UniqueConstraint

from domain.values.numbers import field_constraints

if TYPE_CHECKING:
    from domain import ReadRepository, Repository
    from domain.schema.base import Entity
    from repositories.testing.stateful.choices import Choices

E = TypeVar("E", bound="Entity")

TENANTS: Final = ("default", "acme")
AGES: Final = (timedelta(hours=2), timedelta(hours=36), timedelta(days=9), timedelta(days=45))
"""Ages of rows, far from every age by which rows are purged."""

Made: TypeAlias = dict[type[Any], list[Any]]
"""Entities by class."""

Maker: TypeAlias = "Callable[[World], Entity]"
"""Returns a new valid entity, with values that `world.choices` picks."""


class World:
    """The entities that the current unit of work can expect, and the makers of more.

    Attributes:
        choices: the choices of the current step.
        tenant: the tenant of the current unit of work.
        base: the time at which the program began.
        is_risky: whether the entity that was made last may break a rule of the schema.
    """

    def __init__(self, makers: Mapping[Any, Maker]) -> None:
        self.choices: Choices
        self.tenant = TENANTS[0]
        self.base = datetime.now(UTC).replace(microsecond=0)
        self.is_risky = False
        self._makers = makers
        self._made: dict[str, Made] = {tenant: defaultdict(list) for tenant in TENANTS}
        self._number = 0
        self._in_making: list[type[Any]] = []

    @property
    def kinds(self) -> Sequence[type[Any]]:
        """The classes of the entities that are read."""
        return tuple(self._makers)

    @property
    def addable(self) -> Sequence[type[Any]]:
        """The classes of the entities that a unit of work adds."""
        return self.kinds

    @property
    def deletable(self) -> Sequence[type[Any]]:
        """The classes of the entities that a unit of work deletes."""
        return self.kinds

    def reader(self, unit: Any, kind: type[Any]) -> ReadRepository[Any]:
        """Return the repository of the class, in a unit of work or a reader."""
        repository: ReadRepository[Any] = unit.repository(kind)
        return repository

    def writer(self, unit: Any, kind: type[Any]) -> Repository[Any]:
        """Return the repository of the class, in a unit of work."""
        repository: Repository[Any] = unit.repository(kind)
        return repository

    def final_reads(self, unit: Any) -> Sequence[Callable[[], Any]]:
        """Return further reads that are compared at the end of a program."""
        del unit
        return ()

    def snapshot(self) -> dict[str, Made]:
        """Return the entities, for `restore` when the changes are undone."""
        return {tenant: _copied(entities) for tenant, entities in self._made.items()}

    def restore(self, snapshot: dict[str, Made]) -> None:
        """Continue with the entities of a snapshot."""
        self._made = snapshot

    def entities(self, kind: type[E]) -> Sequence[E]:
        """Return the entities of the class that were made in this tenant."""
        return self._made[self.tenant][kind]

    def existing(self, kind: type[E]) -> E:
        """Return an entity of the class, the newest for the simplest choice, or a new one."""
        entities = self.entities(kind)
        return entities[-1 - self.choices.below(len(entities))] if entities else self.make(kind)

    def id_of(self, kind: type[Any]) -> UUID:
        """Return the id of an entity of the class, and once in eight times an unknown id.

        The first entity of a class that refers to itself gets an unknown id, too.
        """
        is_unknown = self.choices.one_in(8)
        if is_unknown or (kind in self._in_making and not self.entities(kind)):
            return self.new_id()
        key: UUID = vars(self.existing(kind))["id"]
        return key

    def new_id(self) -> UUID:
        """Return an unused id. Ids have no order."""
        self._number += 1
        return UUID(bytes=sha256(b"%d" % self._number).digest()[:16], version=4)

    def moment(self) -> datetime | None:
        """Return a time long before this program, or None for the server's clock."""
        age = self.choices.maybe(AGES)
        return None if age is None else self.base - age

    def make(self, kind: type[E]) -> E:
        """Return a valid entity and remember it; once in sixteen times its id is not new."""
        repeats = self.choices.one_in(16) and bool(self.entities(kind)) and self.may_repeat(kind)
        is_risky = repeats or self.has_rules(kind)
        key = vars(self.existing(kind))["id"] if repeats else self.new_id()
        self.is_risky = False
        self._in_making.append(kind)
        entity = self.new_entity(kind, key)
        self._in_making.pop()
        self.is_risky |= is_risky
        self._made[self.tenant][kind].append(entity)
        return entity

    def new_entity(self, kind: type[E], key: UUID) -> E:
        """Return a new entity of the class, with this id."""
        template: Any = self._makers[kind](self)
        entity: E = template.model_copy(update={"id": key})
        return entity

    def may_repeat(self, kind: type[Any]) -> bool:
        """Return whether an entity may get the id of another."""
        del kind
        return True

    def has_rules(self, kind: type[Any]) -> bool:
        """Return whether a valid entity can break a rule: a unique one, or a foreign key."""
        table = kind.__table__
        return bool(
            table.foreign_key_constraints
            or any(isinstance(rule, UniqueConstraint) for rule in table.constraints)
            or any(index.unique for index in table.indexes)
        )

    @cached_property
    def invalid_values(self) -> Mapping[type[Any], Sequence[dict[str, Any]]]:
        """Values of fields that break a rule of the schema, by class."""
        values = {kind: _invalid_values(kind) for kind in self.addable}
        return {kind: options for kind, options in values.items() if options}

    def invalid(self, kind: type[E]) -> E:
        """Return an entity that breaks a rule of the schema, as no validated entity can."""
        entity = self.make(kind)
        self.is_risky = True
        return entity.model_copy(update=self.choices.pick(self.invalid_values[kind]))

    def maybe_invalid(self, kind: type[E]) -> E:
        """Return a valid entity, and once in 24 times one that breaks a rule."""
        is_invalid = kind in self.invalid_values and self.choices.one_in(24)
        return self.invalid(kind) if is_invalid else self.make(kind)

    def some(self, kind: type[E]) -> list[E]:
        """Return valid entities, or a single one that breaks a rule.

        If one statement breaks two rules, either may be reported.
        """
        if kind in self.invalid_values and self.choices.one_in(16):
            return [self.invalid(kind)]
        return self.choices.several(lambda: self.make(kind), 4)


def _invalid_values(kind: type[Any]) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = []
    for name, field in kind.model_fields.items():
        if field.is_required():
            values.append({name: None})
        for rule in field_constraints(field):
            match rule:
                case Ge(ge=int(limit)):
                    values.append({name: limit - 1})
                case Gt(gt=int(limit)):
                    values.append({name: limit})
    return values


def _copied(entities: Made) -> Made:
    return defaultdict(list, {kind: list(of_kind) for kind, of_kind in entities.items()})
