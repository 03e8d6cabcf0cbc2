"""The state machine: every step does the same to both sides and compares what comes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from hypothesis.stateful import RuleBasedStateMachine, rule
from pydantic import ValidationError

from domain.errors import InvalidInput
from tests.stateful.choices import CHOICES, Choices
from tests.stateful.comparison import Raised, Returned, entities_in
from tests.stateful.kinds import ALL, KIND_OF, WRITTEN_BY_ADD
from tests.stateful.reads import READS
from tests.stateful.searches import SEARCHES
from tests.stateful.world import TENANTS, Made, World
from tests.stateful.writes import WRITES

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from domain import ReadUnitOfWork, UnitOfWork
    from domain.schema.base import Entity
    from tests.stateful.kinds import Operation
    from tests.stateful.sides import Sides

    Savepoint = tuple[Sequence[AbstractAsyncContextManager[None]], dict[str, Made]]

MAX_SAVEPOINTS = 3


class Undo(Exception):
    """Leaves a savepoint, so that it is undone."""


class Machine(RuleBasedStateMachine):
    """Two databases, at most one unit of work open on each at a time, and what both were given."""

    sides: ClassVar[Sides]

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.units: Sequence[UnitOfWork] = ()
        self.savepoints: list[Savepoint] = []
        self.held: list[Sequence[Entity]] = []
        # A session forgets an entity to which nothing refers, so every result of a unit of work
        # is kept until it ends.
        self.results: list[Any] = []
        self.left: list[Sequence[Entity]] = []
        self.before: dict[str, Made] = {}
        self.poisoned = False
        self.sides.empty()

    def teardown(self) -> None:
        if self.units:
            self.end("rollback")
        self.everything()

    # The action of one step.

    def write(self, operation: Operation, choices: Choices) -> None:
        self.begin_step(choices)
        self.require_open()
        self.apply(operation, self.units)

    def read(self, operation: Operation, choices: Choices) -> None:
        self.begin_step(choices)
        if not choices.one_in(4):
            self.require_open()
            self.apply(operation, self.units)
        else:
            self.with_reader(partial(self.apply, operation))

    def begin_step(self, choices: Choices) -> None:
        self.sides.steps += 1
        self.world.choices = choices
        if self.poisoned and not choices.one_in(8):
            self.recover()

    def apply(self, operation: Operation, units: Sequence[Any]) -> None:
        call = operation(self.world)
        outcomes = self.same([partial(call, unit) for unit in units], operation.__name__)
        if units is self.units:
            self.hold(outcomes)

    def same(
        self, calls: Sequence[Callable[[], Awaitable[Any]]], what: str
    ) -> Sequence[Returned | Raised]:
        return self.sides.same(calls, what, self.world.base)

    def hold(self, outcomes: Sequence[Returned | Raised]) -> None:
        """Keep the entities that both units of work track, and notice that they are poisoned."""
        values = [outcome.value for outcome in outcomes if isinstance(outcome, Returned)]
        self.results.extend(values)
        if len(values) == len(outcomes):
            pairs = zip(*map(entities_in, values), strict=True)
            self.held.extend(pair for pair in pairs if type(pair[0]) in KIND_OF)
        else:
            self.poisoned = True

    # Units of work.

    def require_open(self) -> None:
        if not self.units:
            if self.world.choices.one_in(4):
                before, self.world.tenant = self.world.tenant, self.world.choices.pick(TENANTS)
                self.left = self.left if self.world.tenant == before else []
            self.units = [
                store.unit_of_work(tenant=self.world.tenant) for store in self.sides.stores
            ]
            self.enter(self.units)
            self.before = self.world.snapshot()

    def enter(self, units: Sequence[UnitOfWork | ReadUnitOfWork]) -> None:
        for unit in units:
            self.sides.run(unit.__aenter__())

    def with_reader(self, read: Callable[[Sequence[Any]], None]) -> None:
        readers = [store.reader(tenant=self.world.tenant) for store in self.sides.stores]
        self.enter(readers)
        try:
            read(readers)
        finally:
            for reader in readers:
                self.sides.run(reader.__aexit__(None, None, None))

    def recover(self) -> None:
        """Leave what is poisoned."""
        if self.savepoints:
            self.leave_savepoint(undo=True)
        else:
            self.end("rollback")

    def end(self, how: str) -> None:
        outcomes = self.same([getattr(unit, how) for unit in self.units], how)
        committed = how == "commit" and all(isinstance(outcome, Returned) for outcome in outcomes)
        while self.savepoints:
            self.leave_savepoint(undo=True)
        for unit in self.units:
            self.sides.run(unit.__aexit__(None, None, None))
        # After a commit that fails, a session may have written some of the entities, in any order.
        self.poisoned |= any(isinstance(outcome, Raised) for outcome in outcomes)
        self.look()
        if not committed:
            self.world.restore(self.before)
        self.left = self.held if committed else []
        self.units, self.held, self.results, self.poisoned = (), [], [], False

    def leave_savepoint(self, *, undo: bool) -> None:
        savepoints, before = self.savepoints.pop()
        error = Undo() if undo else None
        outcomes = self.same(
            [
                partial(one.__aexit__, type(error) if error else None, error, None)
                for one in savepoints
            ],
            "leave",
        )
        if undo or any(isinstance(outcome, Raised) for outcome in outcomes):
            self.world.restore(before)
        self.poisoned = False

    def look(self) -> None:
        """Compare the entities that are held.

        Those of a unit of work that failed have to be read again.
        """
        if self.poisoned:
            return
        self.sides.compare(
            [Returned([pair[side] for pair in self.held]) for side in (0, 1)],
            "held",
            self.world.base,
        )

    # Rules that are not operations of a repository.

    @rule(choices=CHOICES)
    def commit(self, choices: Choices) -> None:
        self.begin_step(choices)
        if self.units and (not self.savepoints or choices.one_in(8)):
            self.end("commit")

    @rule(choices=CHOICES)
    def roll_back(self, choices: Choices) -> None:
        self.begin_step(choices)
        if self.units and choices.one_in(3):
            self.end("rollback")

    @rule(choices=CHOICES)
    def enter_savepoint(self, choices: Choices) -> None:
        self.begin_step(choices)
        self.require_open()
        if len(self.savepoints) < MAX_SAVEPOINTS:
            before = self.world.snapshot()
            savepoints = [unit.savepoint() for unit in self.units]
            outcomes = self.same([one.__aenter__ for one in savepoints], "enter_savepoint")
            if all(isinstance(outcome, Returned) for outcome in outcomes):
                self.savepoints.append((savepoints, before))
            else:
                self.poisoned = True

    @rule(choices=CHOICES)
    def exit_savepoint(self, choices: Choices) -> None:
        self.begin_step(choices)
        if self.savepoints:
            self.leave_savepoint(undo=choices.one_in(2))

    @rule(choices=CHOICES)
    def assign(self, choices: Choices) -> None:
        self.begin_step(choices)
        self.look()
        if self.poisoned or not self.held:
            return
        pair = self.held[-1 - choices.below(len(self.held))]
        other = self.world.make(type(pair[0]))
        name = choices.pick(
            [name for name in type(other).model_fields if name not in {"id", "tenant"}]
        )
        refusals = [_assigned(entity, name, deepcopy(vars(other)[name])) for entity in pair]
        assert refusals[0] == refusals[1]

    @rule(choices=CHOICES)
    def add_again(self, choices: Choices) -> None:
        """Add a tracked entity, or one that the unit of work before committed."""
        self.begin_step(choices)
        self.require_open()
        pairs = [
            pair
            for pair in self.left + self.held
            if type(pair[0]) in WRITTEN_BY_ADD and all("id" in vars(entity) for entity in pair)
        ]
        if self.poisoned or not pairs:
            return
        pair = choices.pick(pairs)
        calls = [
            partial(_add_again, unit, entity) for unit, entity in zip(self.units, pair, strict=True)
        ]
        self.hold(self.same(calls, "add_again"))

    @rule(choices=CHOICES)
    def look_at_what_is_held(self, choices: Choices) -> None:
        self.begin_step(choices)
        self.look()

    def everything(self) -> None:
        """Compare all rows of all tenants, one tenant's in descending order."""
        for tenant in TENANTS:
            self.world.tenant = tenant
            self.with_reader(self._everything)

    def _everything(self, readers: Sequence[ReadUnitOfWork]) -> None:
        descending = self.world.tenant == TENANTS[0]
        for kind in ALL:
            lists = [
                partial(
                    KIND_OF[kind].read(reader).list,
                    limit=10_000,
                    descending=descending,
                    with_embedding=True,
                )
                for reader in readers
            ]
            self.same(lists, f"all {kind.__name__}")
        self.same([reader.embedding_metadata.find for reader in readers], "embedding_metadata")


async def _add_again(uow: UnitOfWork, entity: Entity) -> Entity:
    await uow.flush()
    added: Entity = KIND_OF[type(entity)].written(uow).add(entity)
    await uow.flush()
    return added


def _assigned(entity: Entity, name: str, value: Any) -> bool:
    try:
        setattr(entity, name, value)
    except (InvalidInput, ValidationError):
        return False
    return True


def _rules() -> None:
    for operations, step in (
        (WRITES, Machine.write),
        (READS, Machine.read),
        (SEARCHES, Machine.read),
    ):
        for operation in operations:
            setattr(Machine, operation.__name__, rule(choices=CHOICES)(_step(step, operation)))


def _step(
    step: Callable[[Machine, Operation, Choices], None], operation: Operation
) -> Callable[[Machine, Choices], None]:
    def run(self: Machine, choices: Choices) -> None:
        step(self, operation, choices)

    run.__name__ = operation.__name__
    return run


_rules()
