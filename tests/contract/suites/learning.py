"""The contract of learning memories and of global patterns.

A memory is written once, recalled by vector and by keywords, and stale after a change of the model.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from domain import (
    AlreadyExists,
    Category,
    ConfidenceBand,
    InvalidInput,
    LearningMemory,
    Outcome,
    ReferenceViolated,
    Review,
    Severity,
    TenantMismatch,
)
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.samples import MANY, MOMENT, REPO, UNICODE, memory, pattern, vectors_of

if TYPE_CHECKING:
    from tests.contract.suites.store import Store


class MemoriesContract:
    """The first memory of a finding's outcome wins."""

    async def test_the_first_of_a_findings_outcome_wins_and_the_caller_learns_it(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        finding = uuid4()
        first = memory(
            UNICODE,
            finding_id=finding,
            language="Python",
            embedding=vector(1.0, -2.0),
            review_id=uuid4(),
        )
        async with store.unit_of_work() as uow:
            assert await uow.memories.write(first)
            assert not await uow.memories.write(memory("again", finding_id=finding))
            assert await uow.memories.write(memory(finding_id=finding, outcome=Outcome.THUMBS_DOWN))
            assert await uow.memories.write(memory(finding_id=finding, repo="acme/web"))
            assert await uow.memories.write(memory(finding_id=uuid4()))
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.memories.write(memory(finding_id=finding))
        async with store.reader() as view:
            assert await view.memories.count() == 4
            row = await view.memories.get(first.id, with_embedding=True)
        assert (row.finding_text, row.language, row.embedding) == (
            UNICODE,
            "python",
            vector(1.0, -2.0),
        )
        assert row.embedding_dim == len(vector().to_list())

    async def test_a_memory_without_a_finding_is_always_new(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            assert await uow.memories.write(memory())
            assert await uow.memories.write(memory())
            assert await uow.memories.write_many([memory(), memory()]) == 2
            assert await uow.memories.count() == 4

    async def test_of_many_the_new_ones_are_written_and_counted(self, store: Store) -> None:
        async def late() -> AsyncIterator[LearningMemory]:
            for finding in findings[:3]:
                yield memory("late", finding_id=finding)

        findings = [uuid4() for _ in range(MANY)]
        many = [
            memory(f"{n}", finding_id=findings[n % MANY], created_at=MOMENT if n % 2 else None)
            for n in range(2 * MANY)
        ]
        async with store.unit_of_work() as uow:
            assert await uow.memories.write_many([]) == 0
            assert await uow.memories.write_many(late()) == 3
            assert await uow.memories.write_many(iter(many)) == MANY - 3
            assert await uow.memories.write_many(many) == 0
            texts = {one.finding_id: one.finding_text async for one in uow.memories.stream()}
        assert texts == {key: "late" if n < 3 else f"{n}" for n, key in enumerate(findings)}, (
            "of equals the first is written"
        )

    async def test_a_memory_of_another_tenant_is_refused(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            with pytest.raises(TenantMismatch):
                await uow.memories.write_many([memory(), memory(tenant="other")])
        async with store.reader() as view:
            assert await view.memories.count() == 0

    async def test_whether_an_outcome_of_a_finding_is_remembered_can_be_asked(
        self, store: Store
    ) -> None:
        finding = uuid4()
        await write(
            store, memory(finding_id=finding, outcome=Outcome.SUPPRESSED, stale=True), memory()
        )
        async with store.unit_of_work() as uow:
            exists = uow.memories.exists_for
            assert await exists(REPO, finding, Outcome.SUPPRESSED)
            assert not await exists(REPO, finding, Outcome.ACCEPTED)
            assert not await exists(REPO, UUID(int=0), Outcome.SUPPRESSED)
            assert not await exists("acme/web", finding, Outcome.SUPPRESSED)
        async with store.reader(tenant="other") as view:
            assert not await view.memories.exists_for(REPO, finding, Outcome.SUPPRESSED)

    async def test_a_memory_needs_no_finding_that_exists(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            try:
                assert await uow.memories.write(memory(finding_id=uuid4(), review_id=uuid4()))
            except ReferenceViolated:
                pytest.fail("what was learned outlives what it was learned from")

    async def test_every_memory_of_another_model_becomes_stale_and_is_deleted_when_asked(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        models = ("old", "new", "older", "new")
        written = [memory(model, embedding_model=model, embedding=vector(1.0)) for model in models]
        await write(store, *written, memory(embedding_model="old", stale=True))
        await write(store, memory(embedding_model="old"), tenant="other")
        async with store.unit_of_work() as uow:
            assert await uow.memories.mark_stale("new") == 2
            assert await uow.memories.mark_stale("new") == 0
            assert [one.stale for one in await uow.memories.list()] == [
                True,
                False,
                True,
                False,
                True,
            ]
            assert await uow.memories.delete_stale() == 3
            assert await uow.memories.delete_stale() == 0
            assert await uow.memories.mark_stale("third") == 2
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            assert await uow.memories.delete_stale() == 0
            assert await uow.memories.count() == 1

    async def test_many_are_marked_and_deleted_some_at_a_time_the_first_by_id_first(
        self, store: Store
    ) -> None:
        await write(
            store, *(memory(embedding_model="old") for _ in range(3)), memory(embedding_model="new")
        )
        await write(store, memory(embedding_model="old"), tenant="other")
        async with store.unit_of_work() as uow:
            assert await uow.memories.mark_stale("new", at_most=2) == 2
            assert [one.stale for one in await uow.memories.list()] == [True, True, False, False]
            assert await uow.memories.delete_stale(at_most=1) == 1
            assert [one.stale for one in await uow.memories.list()] == [True, False, False]
            assert await uow.memories.mark_stale("new", at_most=2) == 1
            assert await uow.memories.delete_stale(at_most=5) == 2
            for refused in (
                uow.memories.mark_stale("new", at_most=0),
                uow.memories.delete_stale(at_most=-1),
            ):
                with pytest.raises(InvalidInput) as refusal:
                    await refused
                assert refusal.value.field == "at_most"

    async def test_memories_that_were_read_before_show_that_they_are_stale(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            one = uow.memories.add(memory())
            assert await uow.memories.mark_stale("other") == 1
            assert await uow.memories.get(one.id) is one
            assert one.stale


class PatternsContract:
    """Patterns count up over all tenants."""

    async def test_a_recorded_pattern_that_is_added_inserts_no_row(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            recorded = await uow.patterns.record(pattern("print-added", count=2))
            uow.patterns.add(recorded)
            await uow.commit()
        async with store.reader() as view:
            assert [one.count for one in await view.patterns.list()] == [2]

    async def test_a_second_pattern_of_a_kind_is_refused_with_the_names_of_its_rule(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            await uow.patterns.record(pattern("f"))
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            with pytest.raises(AlreadyExists) as refusal:
                await uow.patterns.add_many([pattern("g"), pattern("f")])
            names = (refusal.value.table, refusal.value.constraint)
            assert names == ("global_patterns", "uq_global_patterns_kind")

    async def test_counts_of_one_kind_add_up_over_all_tenants(self, store: Store) -> None:
        first = pattern("f", count=2)
        for tenant, count, total in (("default", 2, 2), ("acme", 5, 7), ("other", 1, 8)):
            async with store.unit_of_work(tenant=tenant) as uow:
                summed = await uow.patterns.record(
                    first if count == 2 else pattern("f", count=count)
                )
                assert (summed.id, summed.count) == (first.id, total)
                await uow.commit()
        async with store.reader(tenant="anyone") as view:
            row = await view.patterns.lookup(
                first.severity, first.category, first.confidence_band, "f"
            )
            assert row is not None
            assert facts(row) == {**facts(first), "count": 8}
            assert await view.patterns.count() == 1

    async def test_severity_category_band_and_fingerprint_together_make_the_kind(
        self, store: Store
    ) -> None:
        different: list[dict[str, Any]] = [
            {"severity": Severity.MINOR},
            {"category": Category.SECURITY},
            {"confidence_band": ConfidenceBand.LOW},
            {"pattern_fingerprint": UNICODE},
            {},
        ]
        async with store.unit_of_work() as uow:
            for values in different:
                assert (await uow.patterns.record(pattern("f", **values))).count == 1
            assert await uow.patterns.count() == 5
            lookup = uow.patterns.lookup
            assert (
                await lookup(Severity.MAJOR, Category.CORRECTNESS, ConfidenceBand.HIGH, UNICODE)
                is not None
            )
            assert (
                await lookup(Severity.MINOR, Category.CORRECTNESS, ConfidenceBand.HIGH, UNICODE)
                is None
            )
            assert (
                await lookup(Severity.MAJOR, Category.CORRECTNESS, ConfidenceBand.HIGH, "") is None
            )

    async def test_a_tenant_can_neither_lower_a_count_nor_delete_a_pattern(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            first = await uow.patterns.record(pattern("f", count=5))
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            shared = await uow.patterns.get(first.id)
            for name, value in (("count", 1), ("pattern_fingerprint", "g")):
                with pytest.raises(InvalidInput, match=r"patterns\.record") as refusal:
                    setattr(shared, name, value)
                assert refusal.value.field == name
            assert not hasattr(uow.patterns, "delete")
            await uow.commit()
        async with store.reader() as view:
            assert (await view.patterns.get(first.id)).count == 5

    async def test_a_count_of_nothing_or_less_is_refused(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            for count in (0, -1):
                with pytest.raises(InvalidInput) as refusal:
                    await uow.patterns.record(pattern().model_copy(update={"count": count}))
                assert refusal.value.field == "count"
            assert await uow.patterns.count() == 0

    async def test_a_refused_entity_is_not_reported_as_a_count(self, store: Store) -> None:
        async with store.unit_of_work() as uow:
            review = Review(repo="acme/api", pr_number=7)
            uow.reviews.add(review)
            vars(review)["pr_number"] = 2**40  # as a program does that goes around the validation
            with pytest.raises(InvalidInput, match=r"^a value does not fit the type"):
                await uow.patterns.record(pattern("f"))

    async def test_a_sum_that_is_too_large_raises_and_is_not_stored(self, store: Store) -> None:
        most = pattern("f", count=2**31 - 1)
        async with store.unit_of_work() as uow:
            await uow.patterns.record(most)
            await uow.commit()
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidInput, match="at most 2,147,483,647") as refusal:
                await uow.patterns.record(pattern("f"))
            assert refusal.value.field == "count"
        async with store.reader() as view:
            assert (await view.patterns.get(most.id)).count == 2**31 - 1
