"""Entities of random programs."""

from __future__ import annotations

from uuid import UUID

from sqlmodel import Field

from domain import ApplicationEntity
from domain.schema.constraints import references
from repositories.testing.stateful.choices import Choices
from repositories.testing.stateful.world import World


class Step(ApplicationEntity, table=True):
    """A step that follows another one."""

    __tablename__ = "test_steps"
    __table_args__ = (references("test_steps", "previous_id"),)

    previous_id: UUID
    number: int = Field(default=0)


def test_the_first_entity_of_a_class_that_refers_to_itself_gets_an_unknown_id() -> None:
    world = World({Step: lambda world: Step(previous_id=world.id_of(Step))})
    world.choices = Choices(0)
    first, second = world.make(Step), world.make(Step)
    assert first.previous_id not in {first.id, second.id}
    assert second.previous_id == first.id
    assert world.is_risky
