"""Execution plans of searches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from domain import KnowledgeChunk, LearningMemory, SearchPlan
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import REPO, chunk, finding, memory, review, vectors_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from domain import Vector
    from tests.contract.suites.kinds import Unit
    from tests.contract.suites.store import Store

CHUNKS: Final = KnowledgeChunk.__tablename__
MEMORIES: Final = LearningMemory.__tablename__


def _searches(near: Vector) -> Sequence[tuple[str, Callable[[Unit], Awaitable[Any]]]]:
    """Return every search and the table that it searches."""
    return (
        (CHUNKS, lambda unit: unit.knowledge.vector_search(near)),
        (CHUNKS, lambda unit: unit.knowledge.keyword_search("deadline")),
        (CHUNKS, lambda unit: unit.knowledge.hybrid_search("deadline", near)),
        (MEMORIES, lambda unit: unit.memories.nearest(near, repo=REPO)),
        (
            MEMORIES,
            lambda unit: unit.memories.nearest_for_owner(near, owner="acme", exclude_repo=""),
        ),
        (MEMORIES, lambda unit: unit.memories.keyword_search("deadline", repo=REPO)),
        (MEMORIES, lambda unit: unit.memories.hybrid_search("deadline", near, repo=REPO)),
        (MEMORIES, lambda unit: unit.memories.recall(near, "deadline", repo=REPO, owner="acme")),
        ("findings", lambda unit: unit.findings.keyword_search("deadline")),
    )


class PlansContract:
    """Plans are collected inside `explaining`, and searches find the same."""

    async def test_every_search_has_a_plan_and_finds_what_it_finds_without(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        of = review()
        await write(
            store,
            of,
            finding(of, title="No deadline"),
            *(chunk(content="deadline", embedding=vector(1.0)) for _ in range(3)),
            *(memory(f"deadline {n}", embedding=vector(1.0)) for n in range(3)),
        )
        for open_unit in (store.reader, store.unit_of_work):
            async with open_unit() as unit:
                for table, search in _searches(vector(1.0)):
                    hits = await search(unit)
                    with unit.explaining() as plans:
                        assert await search(unit) == hits
                    assert {plan.searched for plan in plans} == {table}
                    assert {type(plan) for plan in plans} == {SearchPlan}
                    assert all(plan.milliseconds >= 0 and plan.rows_examined >= 1 for plan in plans)

    async def test_nothing_is_collected_of_what_is_no_search_or_outside(self, store: Store) -> None:
        vector = await vectors_of(store)
        async with store.unit_of_work() as uow:
            with uow.explaining() as plans:
                uow.knowledge.add(chunk())
                assert await uow.knowledge.count() == 1
                assert await uow.knowledge.list() != []
            await uow.knowledge.vector_search(vector(1.0))
            assert plans == []
