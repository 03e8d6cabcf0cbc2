"""A bug on either side is found: all but one are planted in the fake, that one in PostgreSQL's."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

import pytest

from domain.values import ids
from domain.values.filters import AllOf
from repositories.fakes import FakeDatabase
from repositories.fakes import knowledge as fake_knowledge
from repositories.fakes import learning as fake_learning
from repositories.fakes import repository as fake_repository
from repositories.fakes import search as fake_search
from repositories.fakes.filters import meeting
from repositories.fakes.reviews import FakeReactionRepository
from repositories.fakes.tenant_rows import TenantRows
from repositories.fakes.writes import Writer
from repositories.sql import rows
from repositories.testing.stateful import operations
from tests.stateful import batches, searches, writes
from tests.stateful.driving import drive, quietly
from tests.stateful.sides import Difference, open_sides

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from repositories.testing.servers import TestServer
    from repositories.testing.stateful.operations import Operation
    from tests.faults.conftest import Promises


STEPS: Final = 300
MORE_STEPS: Final = 15_000


def _a_filter_that_nothing_meets_deletes_everything(patch: pytest.MonkeyPatch) -> None:
    honest = fake_knowledge.FakeKnowledgeRepository.delete_where

    async def delete_where(self: Any, where: Any, *, at_most: int | None = None) -> int:
        if await self.count(where):
            return await honest(self, where, at_most=at_most)
        return int(await self._delete(meeting(self._entity, AllOf()), at_most=at_most))

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


def _a_text_in_capitals_is_another_text(patch: pytest.MonkeyPatch) -> None:
    for module in (fake_search, fake_learning):
        patch.setattr(module, "text_hash", str.encode)


def _an_id_as_text_is_unknown(patch: pytest.MonkeyPatch) -> None:
    honest = ids.require_id

    def require_id(value: object, field: str = "id") -> UUID:
        key = honest(value, field)
        return uuid4() if isinstance(value, str) else key

    patch.setattr(fake_repository, "require_id", require_id)


def _at_most_is_ignored(patch: pytest.MonkeyPatch) -> None:
    honest = TenantRows._keys

    def keys(self: Any, table: Any, meets: Any, at_most: int | None) -> Any:
        return honest(self, table, meets, None)

    patch.setattr(TenantRows, "_keys", keys)


def _memories_of_the_model_become_stale(patch: pytest.MonkeyPatch) -> None:
    repository = fake_learning.FakeMemoryRepository
    honest = repository.mark_stale

    async def mark_stale(self: Any, model: str, *, at_most: int | None = None) -> int:
        return await honest(self, "" if model == "model-b" else model, at_most=at_most)

    patch.setattr(repository, "mark_stale", mark_stale)


def _chunks_are_deleted_in_the_default_tenant(patch: pytest.MonkeyPatch) -> None:
    honest = FakeDatabase.delete_chunks

    async def delete_chunks(self: Any, where: Any = None, **options: Any) -> int:
        return await honest(self, where, **{**options, "tenant": None})

    patch.setattr(FakeDatabase, "delete_chunks", delete_chunks)
    patch.setattr(batches, "BATCHES", (batches.delete_chunks,))


def _reactions_of_all_repositories_are_cleared(patch: pytest.MonkeyPatch) -> None:
    async def clear(self: Any, repo: str, *, at_most: int | None = None) -> int:
        return int(await self._delete(lambda _: True, at_most=at_most))

    patch.setattr(FakeReactionRepository, "clear", clear)


@quietly
@pytest.mark.parametrize(
    ("plant", "used"),
    [
        pytest.param(
            _a_filter_that_nothing_meets_deletes_everything,
            (writes.upsert_chunks, writes.delete_chunks_where),
            id="a filter that nothing meets deletes everything",
        ),
        pytest.param(
            _a_reaction_may_come_twice, (writes.add_reactions,), id="a reaction may come twice"
        ),
        pytest.param(
            _a_listing_downwards_comes_upwards,
            (writes.upsert_chunks, operations.list_some),
            id="a listing downwards comes upwards",
        ),
        pytest.param(
            _a_text_in_capitals_is_another_text,
            (writes.upsert_chunks, searches.search_vectors, searches.search_words),
            id="capitals make another text",
        ),
        pytest.param(
            _an_id_as_text_is_unknown,
            (writes.upsert_chunks, operations.find),
            id="an id as text is unknown",
        ),
        pytest.param(
            _at_most_is_ignored,
            (writes.write_memories, writes.mark_memories_stale, writes.delete_stale_memories),
            id="at_most is ignored",
        ),
        pytest.param(
            _memories_of_the_model_become_stale,
            (writes.write_memories, writes.mark_memories_stale),
            id="mark_stale marks others",
        ),
        pytest.param(
            _chunks_are_deleted_in_the_default_tenant,
            (writes.upsert_chunks,),
            id="delete_chunks deletes in the default tenant",
        ),
        pytest.param(
            _reactions_of_all_repositories_are_cleared,
            (writes.add_reactions, writes.clear_reactions),
            id="all reactions are cleared",
        ),
    ],
)
def test_a_planted_bug_is_found(
    plant: Callable[[pytest.MonkeyPatch], None],
    used: Sequence[Operation],
    servers: dict[int, TestServer],
    promises: Promises,
) -> None:
    with open_sides(servers[18].clone()) as sides:
        run = partial(drive, sides, start=2, shrinks=False, writes=used, reads=())
        run(steps=STEPS)  # such programs find nothing without the bug
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            with pytest.raises(Difference):
                run(steps=sides.steps + MORE_STEPS)
    promises(
        "The fake behaves like PostgreSQL",
        "a bug that is planted on one side is found",
        control=f"1 difference after {sides.steps:,} steps",
    )
