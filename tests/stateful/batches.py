"""Changes of any number of rows, in units of work of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from hypothesis.stateful import rule

from domain import KnowledgeChunk, Review
from repositories.testing.stateful.choices import CHOICES, Choices
from repositories.testing.stateful.conditions import a_filter
from repositories.testing.stateful.machine import Machine
from repositories.testing.stateful.operations import some_id
from tests.stateful.texts import MODELS, REPOS

if TYPE_CHECKING:
    from domain import DatabasePort
    from repositories.testing.stateful.world import World

    Batches = Callable[[DatabasePort], Awaitable[Any]]


class BatchMachine(Machine):
    """A state machine that also changes many rows between two units of work."""

    @rule(choices=CHOICES)
    def change_in_batches(self, choices: Choices) -> None:
        """Change rows in units of work of their own, which an open one could block."""
        self.begin_step(choices)
        if self.units:
            return
        change = choices.pick(BATCHES)(self.world)
        self.outcomes([partial(change, store) for store in self.sides.stores], "batches")


def delete_chunks(world: World) -> Batches:
    tenant, condition = world.tenant, a_filter(world, KnowledgeChunk)
    where = None if world.choices.one_in(8) else condition
    return lambda store: store.delete_chunks(where, tenant=tenant)


def clear_reactions(world: World) -> Batches:
    tenant, repo = world.tenant, world.choices.pick(REPOS)
    return lambda store: store.clear_reactions(repo, tenant=tenant)


def mark_memories_stale(world: World) -> Batches:
    tenant, model = world.tenant, world.choices.pick(MODELS)
    return lambda store: store.mark_memories_stale(model, tenant=tenant)


def delete_stale_memories(world: World) -> Batches:
    tenant = world.tenant
    return lambda store: store.delete_stale_memories(tenant=tenant)


def delete_review(world: World) -> Batches:
    tenant, key = world.tenant, some_id(world, Review)
    return lambda store: store.delete_review(key, tenant=tenant)


def purge(world: World) -> Batches:
    tenant, days = world.tenant, world.choices.pick((7, 30, 100))
    match world.choices.below(3):
        case 0:
            return lambda store: store.purge_authors(days=days, tenant=tenant)
        case 1:
            return lambda store: store.purge_runs(completed_days=days, tenant=tenant)
        case _:
            age = timedelta(days=days)
            return lambda store: store.purge_telemetry(older_than=age, tenant=tenant)


BATCHES: Final[Sequence[Callable[[World], Batches]]] = (
    delete_chunks,
    clear_reactions,
    mark_memories_stale,
    delete_stale_memories,
    delete_review,
    purge,
)
