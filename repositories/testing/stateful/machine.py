"""The state machine: each step makes the same calls on both sides and compares the outcomes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from hypothesis.stateful import RuleBasedStateMachine, rule
from pydantic import ValidationError

from domain.errors import InvalidInput
from repositories.testing.stateful.choices import CHOICES, Choices
from repositories.testing.stateful.comparison import Raised, Returned, entities_in
from repositories.testing.stateful.world import TENANTS, Made, World

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from domain import ReadUnitOfWork, UnitOfWork
    from domain.schema.base import Entity
    from repositories.testing.stateful.operations import Operation
    from repositories.testing.stateful.sides import Sides

    Savepoint: TypeAlias = tuple[Sequence[AbstractAsyncContextManager[None]], dict[str, Made]]

MAX_SAVEPOINTS = 3


class Undo(Exception):
    """Leaves a savepoint, so that it is undone."""


class Machine(RuleBasedStateMachine):
    """Two databases, at most one unit of work open on each at a time, and their entities.

    Attributes:
        tracked: pairs of entities that the two units of work track.
        committed: pairs of entities that the units of work before committed.
        failed: whether a statement failed, so that the units of work have to be rolled back.
    """

    sides: ClassVar[Sides]
    new_world: ClassVar[staticmethod[[], World]]

    def __init__(self) -> None:
        super().__init__()
        self.world = type(self).new_world()
        self.units: Sequence[UnitOfWork] = ()
        self.savepoints: list[Savepoint] = []
        self.tracked: list[Sequence[Entity]] = []
        # A session forgets an entity to which nothing refers, so every result of a unit of work
        # is stored until it ends.
        self.results: list[Any] = []
        self.committed: list[Sequence[Entity]] = []
        self.before: dict[str, Made] = {}
        self.failed = False
        self.sides.empty()

    def teardown(self) -> None:
        """Roll back, and compare everything."""
        if self.units:
            self.end("rollback")
        self.compare_everything()

    # The action of one step.

    def write(self, operation: Operation, choices: Choices) -> None:
        """Make a call that writes."""
        self.begin_step(choices)
        self.require_open()
        self.apply(operation, self.units)

    def read(self, operation: Operation, choices: Choices) -> None:
        """Make a call that reads, in a unit of work or in a reader."""
        self.begin_step(choices)
        if not choices.one_in(4):
            self.require_open()
            self.apply(operation, self.units)
        else:
            self.with_reader(partial(self.apply, operation))

    def begin_step(self, choices: Choices) -> None:
        """Count the step, and recover from a failed statement."""
        self.sides.steps += 1
        self.world.choices = choices
        if self.failed and not choices.one_in(8):
            self.recover()

    def apply(self, operation: Operation, units: Sequence[Any]) -> None:
        """Make the call of an operation on each side."""
        call = operation(self.world)
        outcomes = self.outcomes([partial(call, unit) for unit in units], operation.__name__)
        if units is self.units:
            self.track(outcomes)

    def outcomes(
        self, calls: Sequence[Callable[[], Awaitable[Any]]], what: str
    ) -> Sequence[Returned | Raised]:
        """Return the outcome of each side's call, after comparing them."""
        return self.sides.outcomes(calls, what, self.world.base)

    def track(self, outcomes: Sequence[Returned | Raised]) -> None:
        """Remember the entities that both units of work track, or that a statement failed."""
        values = [outcome.value for outcome in outcomes if isinstance(outcome, Returned)]
        self.results.extend(values)
        if len(values) == len(outcomes):
            pairs = zip(*map(entities_in, values), strict=True)
            self.tracked.extend(pair for pair in pairs if type(pair[0]) in self.world.kinds)
        else:
            self.failed = True

    # Units of work.

    def require_open(self) -> None:
        """Open units of work if none are open."""
        if not self.units:
            if self.world.choices.one_in(4):
                before, self.world.tenant = self.world.tenant, self.world.choices.pick(TENANTS)
                self.committed = self.committed if self.world.tenant == before else []
            self.units = [
                store.unit_of_work(tenant=self.world.tenant) for store in self.sides.stores
            ]
            self.enter(self.units)
            self.before = self.world.snapshot()

    def enter(self, units: Sequence[UnitOfWork | ReadUnitOfWork]) -> None:
        """Enter units of work or readers."""
        for unit in units:
            self.sides.run(unit.__aenter__())

    def with_reader(self, read: Callable[[Sequence[Any]], None]) -> None:
        """Read in a reader of each side."""
        readers = [store.reader(tenant=self.world.tenant) for store in self.sides.stores]
        self.enter(readers)
        try:
            read(readers)
        finally:
            for reader in readers:
                self.sides.run(reader.__aexit__(None, None, None))

    def recover(self) -> None:
        """Undo the innermost savepoint, or the unit of work, after a failed statement."""
        if self.savepoints:
            self.leave_savepoint(undo=True)
        else:
            self.end("rollback")

    def end(self, how: str) -> None:
        """Commit or roll back, and close the units of work."""
        outcomes = self.outcomes([getattr(unit, how) for unit in self.units], how)
        committed = how == "commit" and all(isinstance(outcome, Returned) for outcome in outcomes)
        while self.savepoints:
            self.leave_savepoint(undo=True)
        for unit in self.units:
            self.sides.run(unit.__aexit__(None, None, None))
        # After a commit that fails, a session may have written some of the entities, in any order.
        self.failed |= any(isinstance(outcome, Raised) for outcome in outcomes)
        self.compare_tracked()
        if not committed:
            self.world.restore(self.before)
        self.committed = self.tracked if committed else []
        self.units, self.tracked, self.results, self.failed = (), [], [], False

    def leave_savepoint(self, *, undo: bool) -> None:
        """Leave the innermost savepoint."""
        savepoints, before = self.savepoints.pop()
        error = Undo() if undo else None
        outcomes = self.outcomes(
            [
                partial(one.__aexit__, type(error) if error else None, error, None)
                for one in savepoints
            ],
            "leave",
        )
        if undo or any(isinstance(outcome, Raised) for outcome in outcomes):
            self.world.restore(before)
        self.failed = False

    def compare_tracked(self) -> None:
        """Compare the values of the tracked entities.

        After a failed statement, entities have to be read again.
        """
        if self.failed:
            return
        self.sides.compare(
            [Returned([pair[side] for pair in self.tracked]) for side in (0, 1)],
            "tracked entities",
            self.world.base,
        )

    # Rules that are not operations of a repository.

    @rule(choices=CHOICES)
    def commit(self, choices: Choices) -> None:
        """Commit."""
        self.begin_step(choices)
        if self.units and (not self.savepoints or choices.one_in(8)):
            self.end("commit")

    @rule(choices=CHOICES)
    def roll_back(self, choices: Choices) -> None:
        """Roll back."""
        self.begin_step(choices)
        if self.units and choices.one_in(3):
            self.end("rollback")

    @rule(choices=CHOICES)
    def enter_savepoint(self, choices: Choices) -> None:
        """Enter a savepoint."""
        self.begin_step(choices)
        self.require_open()
        if len(self.savepoints) < MAX_SAVEPOINTS:
            before = self.world.snapshot()
            savepoints = [unit.savepoint() for unit in self.units]
            outcomes = self.outcomes([one.__aenter__ for one in savepoints], "enter_savepoint")
            if all(isinstance(outcome, Returned) for outcome in outcomes):
                self.savepoints.append((savepoints, before))
            else:
                self.failed = True

    @rule(choices=CHOICES)
    def exit_savepoint(self, choices: Choices) -> None:
        """Leave a savepoint, or undo it."""
        self.begin_step(choices)
        if self.savepoints:
            self.leave_savepoint(undo=choices.one_in(2))

    @rule(choices=CHOICES)
    def assign(self, choices: Choices) -> None:
        """Assign an attribute of a tracked entity."""
        self.begin_step(choices)
        self.compare_tracked()
        if self.failed or not self.tracked:
            return
        pair = self.tracked[-1 - choices.below(len(self.tracked))]
        other = self.world.make(type(pair[0]))
        name = choices.pick(
            [name for name in type(other).model_fields if name not in {"id", "tenant"}]
        )
        refusals = [_assigned(entity, name, deepcopy(vars(other)[name])) for entity in pair]
        assert refusals[0] == refusals[1]

    @rule(choices=CHOICES)
    def add_again(self, choices: Choices) -> None:
        """Add a tracked entity again, or one that the unit of work before committed."""
        self.begin_step(choices)
        self.require_open()
        pairs = [
            pair
            for pair in self.committed + self.tracked
            if type(pair[0]) in self.world.addable and all("id" in vars(entity) for entity in pair)
        ]
        if self.failed or not pairs:
            return
        pair = choices.pick(pairs)
        calls = [
            partial(self._add_again, unit, entity)
            for unit, entity in zip(self.units, pair, strict=True)
        ]
        self.track(self.outcomes(calls, "add_again"))

    @rule(choices=CHOICES)
    def read_attributes(self, choices: Choices) -> None:
        """Compare the tracked entities."""
        self.begin_step(choices)
        self.compare_tracked()

    async def _add_again(self, uow: UnitOfWork, entity: Entity) -> Entity:
        await uow.flush()
        added: Entity = self.world.writer(uow, type(entity)).add(entity)
        await uow.flush()
        return added

    def compare_everything(self) -> None:
        """Compare all rows of all tenants, those of one tenant in descending order."""
        for tenant in TENANTS:
            self.world.tenant = tenant
            self.with_reader(self._compare_everything)

    def _compare_everything(self, readers: Sequence[ReadUnitOfWork]) -> None:
        descending = self.world.tenant == TENANTS[0]
        for kind in self.world.kinds:
            lists = [
                partial(
                    self.world.reader(reader, kind).list,
                    limit=10_000,
                    descending=descending,
                    with_embedding=True,
                )
                for reader in readers
            ]
            self.outcomes(lists, f"all {kind.__name__}")
        for reads in zip(*map(self.world.final_reads, readers), strict=True):
            self.outcomes(reads, "final read")


def machine_of(
    sides: Sides,
    new_world: Callable[[], World],
    *,
    writes: Iterable[Operation],
    reads: Iterable[Operation],
) -> type[Machine]:
    """Return a state machine with a rule for each operation."""
    members: dict[str, Any] = {"sides": sides, "new_world": staticmethod(new_world)}
    for operations, step in ((writes, Machine.write), (reads, Machine.read)):
        for operation in operations:
            members[operation.__name__] = rule(choices=CHOICES)(_step(step, operation))
    return type("Machine", (Machine,), members)


def _assigned(entity: Entity, name: str, value: Any) -> bool:
    try:
        setattr(entity, name, value)
    except (InvalidInput, ValidationError):
        return False
    return True


def _step(
    step: Callable[[Machine, Operation, Choices], None], operation: Operation
) -> Callable[[Machine, Choices], None]:
    def run(self: Machine, choices: Choices) -> None:
        step(self, operation, choices)

    run.__name__ = operation.__name__
    return run
