"""A bug on either side is found: three are planted in the fake, one in PostgreSQL's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Uuid, bindparam

from domain.filters import AllOf
from repositories.fakes import knowledge as fake_knowledge
from repositories.fakes.filters import meeting
from repositories.fakes.writes import Writer
from repositories.statements import rows
from tests.stateful.driving import drive, quietly
from tests.stateful.sides import Difference, open_sides

if TYPE_CHECKING:
    from collections.abc import Callable

    from repositories.testing.servers import TestServer

STEPS = 6_000


def _a_filter_that_nothing_meets_deletes_everything(patch: pytest.MonkeyPatch) -> None:
    honest = fake_knowledge.FakeKnowledgeRepository.delete_where

    async def delete_where(self: Any, where: Any) -> int:
        met = await self.count(where)
        return await honest(self, where) if met else await self._delete(meeting(self._entity, AllOf()))

    patch.setattr(fake_knowledge.FakeKnowledgeRepository, "delete_where", delete_where)


def _a_reaction_may_come_twice(patch: pytest.MonkeyPatch) -> None:
    honest = Writer._conflicting

    async def conflicting(self: Any, rule: Any, row: Any) -> Any:
        return None if "reaction_id" in rule.columns else await honest(self, rule, row)

    patch.setattr(Writer, "_conflicting", conflicting)


def _an_upsert_keeps_the_old_embedding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(fake_knowledge, "_KEPT", {*fake_knowledge._KEPT, "embedding"})


def _a_page_downwards_begins_with_the_row_before(patch: pytest.MonkeyPatch) -> None:
    honest = rows.listed

    def listed(entity: Any, where: Any, *, continued: bool, descending: bool, **given: Any) -> Any:
        if not (continued and descending):
            return honest(entity, where, continued=continued, descending=descending, **given)
        statement = honest(entity, where, continued=False, descending=True, **given)
        return statement.where(rows.id_column(entity) <= bindparam("after", type_=Uuid()))

    patch.setattr(rows, "listed", listed)


@quietly
@pytest.mark.parametrize(
    "plant",
    [
        _a_filter_that_nothing_meets_deletes_everything,
        _a_reaction_may_come_twice,
        _an_upsert_keeps_the_old_embedding,
        _a_page_downwards_begins_with_the_row_before,
    ],
)
def test_a_planted_bug_is_found(plant: Callable[[pytest.MonkeyPatch], None], servers: dict[int, TestServer]) -> None:
    with open_sides(servers[18].clone()) as sides:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Difference):
            plant(patch)
            drive(sides, steps=STEPS, start=1, shrinks=False)
        found_after, sides.steps = sides.steps, 0
        assert found_after < STEPS
        # The same steps without it: nothing else was found.
        drive(sides, steps=found_after, start=1)
