"""A bug on either side is found: two are planted in the fake, one in PostgreSQL's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain.values.filters import AllOf
from repositories.fakes import knowledge as fake_knowledge
from repositories.fakes.filters import meeting
from repositories.fakes.writes import Writer
from repositories.sql import rows
from tests.stateful.driving import STEPS_PER_SHARD, beginning, drive, quietly
from tests.stateful.sides import Difference, open_sides

if TYPE_CHECKING:
    from collections.abc import Callable

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Promises


def _a_filter_that_nothing_meets_deletes_everything(patch: pytest.MonkeyPatch) -> None:
    honest = fake_knowledge.FakeKnowledgeRepository.delete_where

    async def delete_where(self: Any, where: Any) -> int:
        met = await self.count(where)
        return (
            await honest(self, where) if met else await self._delete(meeting(self._entity, AllOf()))
        )

    patch.setattr(fake_knowledge.FakeKnowledgeRepository, "delete_where", delete_where)


def _a_reaction_may_come_twice(patch: pytest.MonkeyPatch) -> None:
    honest = Writer._conflicting

    async def conflicting(self: Any, rule: Any, row: Any) -> Any:
        return None if "reaction_id" in rule.columns else await honest(self, rule, row)

    patch.setattr(Writer, "_conflicting", conflicting)


def _a_listing_downwards_comes_upwards(patch: pytest.MonkeyPatch) -> None:
    honest = rows.listed

    def listed(entity: Any, where: Any, *, descending: bool, **options: Any) -> Any:
        return honest(entity, where, descending=False, **options)

    patch.setattr(rows, "listed", listed)


@quietly
@pytest.mark.parametrize(
    ("plant", "shard"),
    [
        pytest.param(
            _a_filter_that_nothing_meets_deletes_everything,
            1,
            id="a filter that nothing meets deletes everything",
        ),
        pytest.param(_a_reaction_may_come_twice, 0, id="a reaction may come twice"),
        pytest.param(_a_listing_downwards_comes_upwards, 0, id="a listing downwards comes upwards"),
    ],
)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None],
    shard: int,
    servers: dict[int, TestServer],
    promises: Promises,
) -> None:
    # Without it the same steps find nothing: they are a shard of the test beside this one.
    with open_sides(servers[18].clone()) as sides, pytest.MonkeyPatch.context() as patch:
        plant(patch)
        with pytest.raises(Difference):
            drive(sides, steps=STEPS_PER_SHARD, start=beginning(shard), shrinks=False)
    promises(
        "The fake behaves like PostgreSQL",
        "a bug that is planted on one side is found",
        control=f"1 difference after {sides.steps:,} steps",
    )
