"""The contract of re-embedding knowledge and memories in a job that you can kill at any time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from domain import (
    EmbeddingRepair,
    InvalidEmbedding,
    InvalidInput,
    RepairedEmbedding,
    RepairStatus,
    Vector,
)
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import MOMENT, UNICODE, chunk, memory, vectors_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from domain import (
        KnowledgeChunk,
        KnowledgeRepository,
        LearningMemory,
        MemoryRepository,
        UnitOfWork,
    )
    from tests.contract.suites.store import Store

both_corpora = pytest.mark.parametrize("corpus", ["knowledge", "memories"])

OLD: Final = "old-model"
NEW: Final = "new-model"


def _corpus(uow: UnitOfWork, corpus: str) -> KnowledgeRepository | MemoryRepository:
    return uow.knowledge if corpus == "knowledge" else uow.memories


def _row(corpus: str, text: str, **values: Any) -> KnowledgeChunk | LearningMemory:
    fields = {"embedding_model": NEW, **values}
    return chunk(content=text, **fields) if corpus == "knowledge" else memory(text, **fields)


def _state(key: str = "job", **values: Any) -> EmbeddingRepair:
    return EmbeddingRepair(**{"corpus": "any", "key": key, "target_model": NEW, **values})


async def _fill(
    store: Store, corpus: str, vector: Callable[..., Vector]
) -> Sequence[KnowledgeChunk | LearningMemory]:
    """Write a row that is fine, and return those that are not.

    Without an embedding, stale, and another model's.
    """
    rows = [
        _row(corpus, "fine", embedding=vector(1.0)),
        _row(corpus, "missing"),
        _row(corpus, "stale", embedding=vector(1.0), stale=True),
        _row(corpus, UNICODE, embedding=vector(1.0), embedding_model=OLD),
    ]
    await write(store, *rows)
    await write(store, _row(corpus, "theirs"), tenant="other")
    return rows[1:]


class RepairsContract:
    """Rows whose embedding is missing, stale or of another model, by id.

    Written with the job's cursor in one transaction.
    """

    @both_corpora
    async def test_candidates_are_what_lacks_an_embedding_of_the_model_in_the_order_of_ids(
        self, store: Store, corpus: str
    ) -> None:
        vectors = await _fill(store, corpus, await vectors_of(store))
        async with store.unit_of_work() as uow:
            repairs = _corpus(uow, corpus)
            candidates = await repairs.repair_candidates(NEW)
            assert [(one.id, one.text) for one in candidates] == [
                (vectors[0].id, "missing"),
                (vectors[1].id, "stale"),
                (vectors[2].id, UNICODE),
            ]
            assert await repairs.repair_candidates(NEW, limit=2) == candidates[:2]
            assert await repairs.repair_candidates(NEW, after=candidates[0].id) == candidates[1:]
            assert (
                await repairs.repair_candidates(NEW, after=candidates[0].id, limit=1)
                == candidates[1:2]
            )
            assert await repairs.repair_candidates(NEW, after=candidates[2].id) == []
            assert await repairs.count_repair_candidates(NEW) == 3
            assert await repairs.count_repair_candidates("third-model") == 4
            for limit in (0, 10_001):
                with pytest.raises(InvalidInput):
                    await repairs.repair_candidates(NEW, limit=limit)
        async with store.reader() as view:
            reader = view.knowledge if corpus == "knowledge" else view.memories
            assert await reader.count_repair_candidates(NEW) == 3
            assert len(await reader.repair_candidates(NEW)) == 3
            assert await reader.repair_state("job") is None

    @both_corpora
    async def test_repaired_rows_have_the_new_embedding_and_are_no_candidates_any_more(
        self, store: Store, corpus: str
    ) -> None:
        vector = await vectors_of(store)
        vectors = await _fill(store, corpus, vector)
        repaired = [
            RepairedEmbedding(id=row.id, embedding=vector(0.0, n))
            for n, row in enumerate(vectors, start=1)
        ]
        unknown = RepairedEmbedding(id=_row(corpus, "unknown").id, embedding=vector(1.0))
        async with store.unit_of_work() as uow:
            state = _state(cursor=vectors[-1].id, processed=3)
            assert (
                await _corpus(uow, corpus).write_repaired([*reversed(repaired), unknown], state)
                == 3
            )
            await uow.commit()
        async with store.unit_of_work() as uow:
            repairs = _corpus(uow, corpus)
            assert await repairs.count_repair_candidates(NEW) == 0
            rows: Any = await repairs.get_many([row.id for row in vectors], with_embedding=True)
            embeddings = [(one.embedding, one.embedding_model, one.stale) for one in rows.values()]
            assert embeddings == [(one.embedding, NEW, False) for one in repaired]
            saved = await repairs.repair_state("job")
            assert saved is not None
            assert (saved.cursor, saved.processed, saved.status) == (
                vectors[-1].id,
                3,
                RepairStatus.RUNNING,
            )
        if corpus == "memories":
            assert {one.embedding_dim for one in rows.values()} == {len(vector().to_list())}

    @both_corpora
    async def test_an_embedding_that_comes_late_replaces_no_newer_one(
        self, store: Store, corpus: str
    ) -> None:
        vector = await vectors_of(store)
        rows = [_row(corpus, f"C:\\text {n} \\x41 é 漢") for n in range(3)]
        await write(store, *rows)
        async with store.unit_of_work() as uow:
            candidates = await _corpus(uow, corpus).repair_candidates(NEW)
        async with store.unit_of_work() as uow:
            changed: Any = await _corpus(uow, corpus).get_many([row.id for row in rows])
            first, second, _ = changed.values()
            first.embedding, first.embedding_model = vector(0.0, 1.0), NEW
            setattr(second, "content" if corpus == "knowledge" else "finding_text", "changed")
            await uow.commit()
        late = [
            RepairedEmbedding(id=one.id, embedding=vector(1.0), text=one.text) for one in candidates
        ]
        async with store.unit_of_work() as uow:
            assert await _corpus(uow, corpus).write_repaired(late, _state()) == 1
            await uow.commit()
        async with store.reader() as view:
            reader = view.knowledge if corpus == "knowledge" else view.memories
            stored: Any = await reader.get_many([row.id for row in rows], with_embedding=True)
            assert [one.embedding for one in stored.values()] == [
                vector(0.0, 1.0),
                None,
                vector(1.0),
            ]
            assert [one.text for one in await reader.repair_candidates(NEW)] == ["changed"]

    @both_corpora
    async def test_the_last_embedding_of_a_row_counts(self, store: Store, corpus: str) -> None:
        vector = await vectors_of(store)
        row = _row(corpus, "text")
        await write(store, row)
        twice: list[Any] = [
            RepairedEmbedding(id=row.id, embedding=vector(1.0)),
            RepairedEmbedding(id=row.id, embedding=vector(0.0, 1.0).to_list(), text="text"),
        ]
        async with store.unit_of_work() as uow:
            assert await _corpus(uow, corpus).write_repaired(twice, _state()) == 1
            await uow.commit()
        async with store.reader() as view:
            reader = view.knowledge if corpus == "knowledge" else view.memories
            stored = await reader.get(row.id, with_embedding=True)
            assert vars(stored)["embedding"] == vector(0.0, 1.0)

    @both_corpora
    async def test_rows_of_another_tenant_are_not_repaired(self, store: Store, corpus: str) -> None:
        vector = await vectors_of(store)
        theirs = _row(corpus, "theirs")
        await write(store, theirs, tenant="other")
        async with store.unit_of_work() as uow:
            assert (
                await _corpus(uow, corpus).write_repaired(
                    [RepairedEmbedding(id=theirs.id, embedding=vector(1.0))], _state()
                )
                == 0
            )
            await uow.commit()
        async with store.unit_of_work(tenant="other") as uow:
            assert await _corpus(uow, corpus).count_repair_candidates(NEW) == 1
            assert await _corpus(uow, corpus).repair_state("job") is None

    @both_corpora
    async def test_a_vector_that_does_not_fit_is_refused_and_the_cursor_does_not_move(
        self, store: Store, corpus: str
    ) -> None:
        vector = await vectors_of(store)
        row = _row(corpus, "text")
        await write(store, row)
        for unfit in (
            Vector([1.0]),
            Vector([*vector(1.0).to_list(), 0.0]),
            vector(),
            vector(float("nan")),
        ):
            async with store.unit_of_work() as uow:
                with pytest.raises(InvalidEmbedding) as refusal:
                    await _corpus(uow, corpus).write_repaired(
                        [RepairedEmbedding(id=row.id, embedding=unfit)], _state()
                    )
                assert refusal.value.field == "embedding"
        async with store.unit_of_work() as uow:
            assert await _corpus(uow, corpus).repair_state("job") is None
            assert await _corpus(uow, corpus).count_repair_candidates(NEW) == 1

    @both_corpora
    async def test_a_killed_job_continues_at_the_first_row_that_was_not_repaired(
        self, store: Store, corpus: str
    ) -> None:
        vector = await vectors_of(store)
        rows = [_row(corpus, f"text {n}") for n in range(7)]
        await write(store, *rows)

        async def batch(*, dies: bool) -> list[str]:
            async with store.unit_of_work() as uow:
                repairs = _corpus(uow, corpus)
                state = await repairs.repair_state("job") or _state()
                candidates = await repairs.repair_candidates(NEW, after=state.cursor, limit=2)
                if candidates:
                    state = _state(
                        cursor=candidates[-1].id, processed=state.processed + len(candidates)
                    )
                    await repairs.write_repaired(
                        [RepairedEmbedding(id=one.id, embedding=vector(1.0)) for one in candidates],
                        state,
                    )
                if not dies:
                    await uow.commit()
                return [one.text for one in candidates]

        passed = [await batch(dies=n % 2 == 1) for n in range(8)]
        assert passed[1::2] == [*passed[2::2], []], (
            "what a killed batch did is done again by the next"
        )
        assert [text for texts in passed[::2] for text in texts] == [f"text {n}" for n in range(7)]
        async with store.unit_of_work() as uow:
            state = await _corpus(uow, corpus).repair_state("job")
            assert state is not None
            assert (state.processed, await _corpus(uow, corpus).count_repair_candidates(NEW)) == (
                7,
                0,
            )

    @both_corpora
    async def test_a_dry_run_leaves_no_trace(self, store: Store, corpus: str) -> None:
        vectors = await _fill(store, corpus, await vectors_of(store))
        async with store.unit_of_work() as uow:
            assert len(await _corpus(uow, corpus).repair_candidates(NEW)) == len(vectors)
            await uow.commit()
        async with store.unit_of_work() as uow:
            assert await _corpus(uow, corpus).repair_state("job") is None
            assert await _corpus(uow, corpus).count_repair_candidates(NEW) == len(vectors)

    @both_corpora
    async def test_the_state_of_a_job_is_replaced_and_each_corpus_and_tenant_has_its_own(
        self, store: Store, corpus: str
    ) -> None:
        other = "memories" if corpus == "knowledge" else "knowledge"
        row = _row(corpus, "text")
        failed: dict[str, Any] = {
            "status": RepairStatus.FAILED,
            "failures": 2,
            "last_failure": "TimeoutError",
            "cursor": row.id,
        }
        async with store.unit_of_work() as uow:
            repairs = _corpus(uow, corpus)
            assert (
                await repairs.write_repaired([], _state(updated_at=MOMENT, created_at=MOMENT)) == 0
            )
            await repairs.save_repair_state(_state("another", target_model=OLD))
            begun = await repairs.repair_state("job")
            assert begun is not None
            assert (begun.corpus, begun.target_model, begun.status) == (
                row.__tablename__,
                NEW,
                RepairStatus.RUNNING,
            )
            await repairs.save_repair_state(
                _state(**failed, processed=5, repaired=3, skipped=1, failed=1)
            )
            await uow.commit()
        async with store.unit_of_work() as uow:
            saved = await _corpus(uow, corpus).repair_state("job")
            assert saved is not None
            assert {name: getattr(saved, name) for name in failed} == failed
            assert (saved.processed, saved.repaired, saved.skipped, saved.failed) == (5, 3, 1, 1)
            assert saved.created_at == MOMENT
            assert saved.updated_at not in (None, MOMENT), "the server's"
            assert await _corpus(uow, other).repair_state("job") is None
            assert await _corpus(uow, corpus).repair_state("unknown") is None
            another = await _corpus(uow, corpus).repair_state("another")
            assert another is not None
            assert another.target_model == OLD
        async with store.unit_of_work(tenant="other") as uow:
            assert await _corpus(uow, corpus).repair_state("job") is None
