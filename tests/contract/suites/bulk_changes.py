"""Changes of any number of rows, in many units of work."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from domain import InvalidFilter, InvalidInput, RunStatus, where
from domain.values.filters import AllOf
from tests.contract.suites import samples
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import MOMENT

if TYPE_CHECKING:
    from tests.contract.suites.store import Store

ROWS = 450
"""More rows than the first unit of work changes."""


class InterruptedByTest(Exception):
    """The interruption of a change."""


def interrupt(_: int) -> None:
    raise InterruptedByTest


class BulkChangesContract:
    async def test_memories_of_other_models_become_stale_in_several_units_of_work(
        self, store: Store
    ) -> None:
        await write(store, *(samples.memory(f"{n}") for n in range(ROWS)))
        await write(store, samples.memory(embedding_model="new"))
        await write(store, samples.memory(), tenant="other")
        changed: list[int] = []
        assert await store.mark_memories_stale("new", progress=changed.append) == ROWS
        assert changed == sorted(changed)
        assert len(changed) > 1
        assert changed[-1] == ROWS
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.memories.delete_stale() == 0, "another tenant's memory stays"
        assert await store.delete_stale_memories() == ROWS
        async with store.unit_of_work() as uow:
            assert [memory.embedding_model for memory in await uow.memories.list()] == ["new"]

    async def test_no_memory_becomes_stale_without_a_model(self, store: Store) -> None:
        await write(store, samples.memory())
        for mark in (
            lambda uow: uow.memories.mark_stale(""),
            lambda _: store.mark_memories_stale(""),
        ):
            async with store.unit_of_work() as uow:
                with pytest.raises(InvalidInput, match="model must not be empty") as refusal:
                    await mark(uow)
                assert refusal.value.field == "model"
                assert await uow.memories.count(where("stale").equals(value=True)) == 0

    async def test_an_interrupted_change_continues_with_the_next_call(self, store: Store) -> None:
        await write(store, *(samples.memory(f"{n}") for n in range(ROWS)))
        with pytest.raises(InterruptedByTest):
            await store.mark_memories_stale("new", progress=interrupt)
        left = await store.mark_memories_stale("new")
        assert 0 < left < ROWS, "the first unit of work is committed"
        assert await store.mark_memories_stale("new") == 0

    async def test_telemetry_of_all_tables_is_purged(self, store: Store) -> None:
        await write(
            store,
            *(samples.event(created_at=MOMENT) for _ in range(ROWS)),
            samples.event(),
            samples.rate_limit(created_at=MOMENT),
            samples.retrieval_quality(created_at=MOMENT),
            samples.resilience(created_at=MOMENT),
        )
        day = timedelta(days=1)
        assert await store.purge_telemetry(older_than=day) == ROWS + 3
        assert await store.purge_telemetry(older_than=day) == 0
        async with store.unit_of_work() as uow:
            assert await uow.telemetry.count() == 1

    async def test_a_purge_of_telemetry_deletes_at_most_so_many_rows(self, store: Store) -> None:
        await write(
            store,
            *(samples.event(created_at=MOMENT) for _ in range(3)),
            *(samples.rate_limit(created_at=MOMENT) for _ in range(3)),
        )
        day = timedelta(days=1)
        async with store.unit_of_work() as uow:
            for deleted in (4, 2, 0):
                assert await uow.telemetry.purge(older_than=day, at_most=4) == deleted
            with pytest.raises(InvalidInput, match="at_most"):
                await uow.telemetry.purge(older_than=day, at_most=0)

    async def test_old_runs_and_authors_are_purged(self, store: Store) -> None:
        done = {"status": RunStatus.COMPLETED, "completed_at": MOMENT}
        await write(
            store,
            *(samples.run(**done) for _ in range(3)),
            samples.run(),
            *(samples.author(cached_at=MOMENT) for _ in range(3)),
            samples.author(),
        )
        assert await store.purge_runs() == 3
        assert await store.purge_authors() == 3
        async with store.unit_of_work() as uow:
            assert (await uow.runs.count(), await uow.authors.count()) == (1, 1)

    async def test_a_large_review_is_deleted_with_everything_that_refers_to_it(
        self, store: Store
    ) -> None:
        review, other = samples.review(), samples.review()
        findings = [samples.finding(review) for _ in range(ROWS)]
        await write(store, review, other)
        await write(store, *findings, samples.finding(other), samples.suppression(review))
        await write(store, *(samples.reaction(finding) for finding in findings[:3]))
        with pytest.raises(InterruptedByTest):
            await store.delete_review(review.id, progress=interrupt)
        async with store.unit_of_work() as uow:
            assert await uow.reviews.find(review.id) is not None, "the review is deleted last"
            assert 1 < await uow.findings.count() < ROWS
        assert await store.delete_review(review.id)
        assert not await store.delete_review(review.id)
        async with store.unit_of_work() as uow:
            assert await uow.findings.count() == 1
            assert await uow.suppressions.count() == await uow.reactions.count() == 0

    async def test_chunks_are_deleted_in_several_units_of_work(self, store: Store) -> None:
        await write(store, *(samples.chunk(f"{n:03}", token_count=n) for n in range(ROWS)))
        await write(store, samples.chunk(), tenant="other")
        small = where("token_count").less_than(ROWS - 10)
        with pytest.raises(InterruptedByTest):
            await store.delete_chunks(small, progress=interrupt)
        left = await store.delete_chunks(small)
        assert 0 < left < ROWS - 10, "the first unit of work is committed"
        with pytest.raises(InvalidFilter):
            await store.delete_chunks(AllOf(()))
        async with store.unit_of_work() as uow:
            names = [chunk.chunk_id for chunk in await uow.knowledge.list()]
            assert names == [f"{n}" for n in range(ROWS - 10, ROWS)]
            assert await uow.knowledge.reset(at_most=4) == 4
            assert await uow.knowledge.delete_where(where("repo").equals(""), at_most=5) == 5
            for deletion in (
                uow.knowledge.reset(at_most=0),
                uow.knowledge.delete_where(where("repo").equals(""), at_most=0),
                uow.reactions.clear("acme/api", at_most=0),
            ):
                with pytest.raises(InvalidInput, match="at_most"):
                    await deletion
            await uow.commit()
        assert await store.delete_chunks() == 1
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.knowledge.count() == 1

    async def test_reactions_of_a_repository_are_deleted_in_several_units_of_work(
        self, store: Store
    ) -> None:
        review = samples.review()
        finding = samples.finding(review)
        await write(store, review)
        await write(store, finding)
        await write(store, *(samples.reaction(finding) for _ in range(ROWS)))
        await write(store, samples.reaction(finding, repo="acme/other"))
        changed: list[int] = []
        assert await store.clear_reactions(finding.repo, progress=changed.append) == ROWS
        assert len(changed) > 1
        async with store.unit_of_work() as uow:
            assert [row.repo for row in await uow.reactions.list()] == ["acme/other"]

    async def test_findings_of_a_review_are_deleted_lowest_ids_first(self, store: Store) -> None:
        review = samples.review()
        findings = [samples.finding(review) for _ in range(3)]
        await write(store, review)
        await write(store, *findings)
        async with store.unit_of_work() as uow:
            assert await uow.findings.delete_of_review(review.id, at_most=2) == 2
            assert [row.id for row in await uow.findings.list()] == [findings[2].id]
            assert await uow.findings.delete_of_review(review.id) == 1
            with pytest.raises(InvalidInput, match="review_id"):
                await uow.findings.delete_of_review("no id")  # type: ignore[arg-type]
