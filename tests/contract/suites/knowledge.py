"""Passages: upserts, lookups by name and deletions.

And the record of how a database embeds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from domain import (
    CheckViolated,
    EmbeddingMismatch,
    InvalidEmbedding,
    InvalidFilter,
    KnowledgeChunk,
    NotLoaded,
    TransactionAborted,
    Vector,
    known_dimensions,
    where,
)
from domain.values.filters import AllOf, AnyOf, Not
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.samples import MANY, MOMENT, REPO, UNICODE, chunk, vectors_of

if TYPE_CHECKING:
    from domain import Filter
    from tests.contract.suites.store import Store

LONGEST_NAME: Final = "é" * 1_000


async def _upserted(store: Store, *chunks: KnowledgeChunk, tenant: str = "default") -> int:
    async with store.unit_of_work(tenant=tenant) as uow:
        written = await uow.knowledge.upsert_many(chunks)
        await uow.commit()
        return written


class KnowledgeContract:
    """Chunks are replaced by name."""

    async def test_new_chunks_are_inserted_as_they_are(self, store: Store) -> None:
        vector = await vectors_of(store)
        fields: dict[str, Any] = {
            "repo": REPO,
            "language": "german",
            "title": UNICODE,
            "summary": "",
            "metadata_": {"deep": [1, {UNICODE: None}]},
            "token_count": 2**31 - 1,
            "embedding_model": "m",
            "embedding": vector(1.0, -2.5),
            "created_at": MOMENT,
            "updated_at": MOMENT,
        }
        full, plain = chunk("full", UNICODE, **fields), chunk(LONGEST_NAME, "")
        assert await _upserted(store, full, plain) == 2
        async with store.reader() as view:
            assert await view.knowledge.get(full.id, with_embedding=True) == full
            row = await view.knowledge.get(plain.id, with_embedding=True)
        assert (row.chunk_id, row.content, row.title, row.embedding, row.metadata_) == (
            LONGEST_NAME,
            "",
            None,
            None,
            {},
        )
        assert row.created_at == row.updated_at
        assert row.content_hash == plain.content_hash

    async def test_a_chunk_of_the_same_name_is_replaced_but_for_its_id_and_the_moment_it_was_made(
        self, store: Store
    ) -> None:
        vector = await vectors_of(store)
        old = chunk(
            "a",
            "old",
            title="t",
            language="en",
            metadata_={"a": 1},
            embedding=vector(1.0),
            stale=True,
            created_at=MOMENT,
        )
        await _upserted(store, old.model_copy(update={"updated_at": MOMENT}))
        new = chunk(
            "a",
            "new",
            source="b.md",
            source_type="code",
            summary="s",
            embedding=vector(0.0, 1.0),
            embedding_model="m",
        )
        assert await _upserted(store, new) == 1
        async with store.reader() as view:
            [row] = await view.knowledge.list(with_embedding=True)
        assert (row.id, row.created_at) == (old.id, MOMENT)
        assert row.updated_at not in (None, MOMENT)
        unchanged = {"id", "created_at", "updated_at"}
        assert {name: value for name, value in facts(row).items() if name not in unchanged} == {
            name: value for name, value in facts(new).items() if name not in unchanged
        }
        assert row.embedding == vector(0.0, 1.0)

    async def test_new_text_never_keeps_the_old_embedding(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _upserted(store, chunk("a", "old", embedding=vector(1.0), embedding_model="m"))
        await _upserted(store, chunk("a", "new"))
        async with store.reader() as view:
            row = await view.knowledge.find_by_chunk_id("a", with_embedding=True)
        assert row is not None
        assert (row.content, row.embedding, row.embedding_model) == ("new", None, None)

    async def test_of_the_same_name_twice_in_a_call_the_last_wins_and_counts_once(
        self, store: Store
    ) -> None:
        first, other, last = chunk("a", "first"), chunk("b"), chunk("a", "last")
        assert await _upserted(store, first, other, last) == 2
        many = [chunk(f"many-{n}") for n in range(MANY)]
        assert (
            await _upserted(
                store, chunk("many-0", "earlier"), *many, chunk(f"many-{MANY - 1}", "later")
            )
            == MANY
        )
        async with store.reader() as view:
            assert await view.knowledge.count() == MANY + 2
            contents = [
                await view.knowledge.find_by_chunk_id(name)
                for name in ("a", "many-0", f"many-{MANY - 1}")
            ]
        assert [one.content for one in contents if one] == ["last", "A passage.", "later"]

    async def test_a_name_means_a_chunk_of_one_repository_and_one_tenant(
        self, store: Store
    ) -> None:
        assert (
            await _upserted(
                store,
                chunk("a", "none"),
                chunk("a", "ours", repo=REPO),
                chunk("a", "web", repo="acme/web"),
            )
            == 3
        )
        await _upserted(store, chunk("a", "theirs", repo=REPO), tenant="other")
        async with store.reader() as view:
            passages = [
                await view.knowledge.find_by_chunk_id("a", repo=repo)
                for repo in ("", REPO, "acme/web")
            ]
            assert [one.content for one in passages if one] == ["none", "ours", "web"]
            assert await view.knowledge.find_by_chunk_id("a", repo="acme/none") is None

    async def test_nothing_is_upserted_from_nothing_and_any_iterable_will_do(
        self, store: Store
    ) -> None:
        async def late() -> AsyncIterator[KnowledgeChunk]:
            yield chunk("late")
            yield chunk("late", "later")

        async with store.unit_of_work() as uow:
            assert await uow.knowledge.upsert_many([]) == 0
            assert await uow.knowledge.upsert_many(late()) == 1
            assert await uow.knowledge.upsert_many(chunk(f"soon-{n}") for n in range(3)) == 3
            assert await uow.knowledge.count() == 4

    async def test_all_are_upserted_or_none(self, store: Store) -> None:
        vector = await vectors_of(store)
        with known_dimensions(len(vector().to_list()) + 1):
            unfit = chunk("unfit", embedding=Vector([*vector(1.0).to_list(), 0.0]))
        unlike = chunk("unlike").model_copy(update={"token_count": -1})
        await _upserted(store, chunk("a", "old"))
        for wrong, error in ((unfit, InvalidEmbedding), (unlike, CheckViolated)):
            async with store.unit_of_work() as uow:
                with pytest.raises(error):
                    await uow.knowledge.upsert_many([chunk("a", "new"), wrong])
                with suppress(TransactionAborted):
                    await uow.commit()
        async with store.reader() as view:
            assert [one.content for one in await view.knowledge.list()] == ["old"]

    async def test_chunks_with_and_without_a_moment_of_their_own_are_upserted_together(
        self, store: Store
    ) -> None:
        assert (
            await _upserted(
                store, chunk("a", created_at=MOMENT), chunk("b", updated_at=MOMENT), chunk("c")
            )
            == 3
        )
        async with store.reader() as view:
            rows = await view.knowledge.list()
        assert [(one.created_at == MOMENT, one.updated_at == MOMENT) for one in rows] == [
            (True, False),
            (False, True),
            (False, False),
        ]

    async def test_a_replacement_has_the_time_of_the_server_unless_a_new_chunk_states_its_own(
        self, store: Store
    ) -> None:
        await _upserted(store, chunk("a", updated_at=MOMENT), chunk("b", updated_at=MOMENT))
        await _upserted(store, chunk("b", "new", updated_at=MOMENT + timedelta(days=1)))
        async with store.reader() as view:
            read, untracked = await view.knowledge.list(with_embedding=True)
            without_embedding = await view.knowledge.get(read.id)
        assert untracked.updated_at == MOMENT + timedelta(days=1)
        with pytest.raises(NotLoaded):
            await _upserted(store, without_embedding)
        await _upserted(store, read)
        async with store.unit_of_work() as uow:
            tracked = await uow.knowledge.get(untracked.id, with_embedding=True)
            await uow.knowledge.upsert_many([tracked])
            await uow.commit()
        async with store.reader() as view:
            moments = {one.updated_at for one in await view.knowledge.list()}
        assert not moments & {None, MOMENT, MOMENT + timedelta(days=1)}, "the server's"

    async def test_a_chunk_is_found_by_its_name_without_its_embedding(self, store: Store) -> None:
        vector = await vectors_of(store)
        await _upserted(store, chunk(UNICODE, embedding=vector(1.0)), chunk("other"))
        async with store.unit_of_work() as uow:
            row = await uow.knowledge.find_by_chunk_id(UNICODE)
            assert row is not None
            assert "embedding" not in vars(row)
            assert await uow.knowledge.find_by_chunk_id(UNICODE, with_embedding=True) is row
            assert row.embedding == vector(1.0)
            assert await uow.knowledge.find_by_chunk_id("") is None
            assert await uow.knowledge.find_by_chunk_id("OTHER") is None

    async def test_chunks_that_meet_a_filter_are_deleted_and_counted(self, store: Store) -> None:
        await write(
            store,
            *(chunk(f"{n}", metadata_={"n": n}, repo=REPO if n % 2 else "") for n in range(6)),
        )
        await write(store, chunk("theirs", metadata_={"n": 1}), tenant="other")
        async with store.unit_of_work() as uow:
            assert (
                await uow.knowledge.delete_where(
                    where("metadata", "n").at_most(2) & where("repo").equals(REPO)
                )
                == 1
            )
            assert await uow.knowledge.delete_where(where("metadata", "n").at_most(2)) == 2
            assert await uow.knowledge.delete_where(where("metadata", "n").at_most(2)) == 0
            await uow.commit()
        async with store.reader() as view:
            assert [one.chunk_id for one in await view.knowledge.list()] == ["3", "4", "5"]
        async with store.reader(tenant="other") as view:
            assert await view.knowledge.count() == 1

    @pytest.mark.parametrize(
        "empty",
        [None, AllOf(), AnyOf(), Not(AllOf()), AllOf((AllOf(), AnyOf()))],
        ids=["none", "all", "any", "not", "nested"],
    )
    async def test_an_empty_filter_deletes_nothing_and_is_refused(
        self, store: Store, empty: Filter
    ) -> None:
        await write(store, chunk())
        async with store.unit_of_work() as uow:
            with pytest.raises(InvalidFilter) as refusal:
                await uow.knowledge.delete_where(empty)
            assert refusal.value.field == "where"
            assert await uow.knowledge.count() == 1
            await uow.commit()

    async def test_chunks_are_deleted_by_name_unknown_and_repeated_ones_do_not_count(
        self, store: Store
    ) -> None:
        await write(
            store, chunk("a"), chunk("b"), chunk("c"), chunk("a", repo=REPO), chunk(UNICODE)
        )
        await write(store, chunk("a"), tenant="other")
        async with store.unit_of_work() as uow:
            assert await uow.knowledge.delete_chunks([]) == 0
            assert await uow.knowledge.delete_chunks(iter(["a", "b", "a", "unknown", ""])) == 2
            assert await uow.knowledge.delete_chunks(["a", "b"]) == 0
            assert await uow.knowledge.delete_chunks(["a", "c"], repo=REPO) == 1
            assert await uow.knowledge.delete_chunks([UNICODE]) == 1
            assert (
                await uow.knowledge.delete_chunks([*(f"unknown-{n}" for n in range(10_001)), "c"])
                == 1
            )
            assert await uow.knowledge.count() == 0
            await uow.commit()
        async with store.reader(tenant="other") as view:
            assert await view.knowledge.count() == 1

    async def test_a_reset_deletes_the_tenants_chunks_and_leaves_what_all_tenants_share(
        self, store: Store
    ) -> None:
        await write(store, chunk(), chunk())
        await write(store, chunk(), tenant="other")
        async with store.unit_of_work() as uow:
            recorded = await uow.embedding_metadata.get()
            assert await uow.knowledge.reset() == 2
            assert await uow.knowledge.reset() == 0
            await uow.commit()
        async with store.reader() as view:
            assert await view.knowledge.count() == 0
        async with store.reader(tenant="other") as view:
            assert await view.knowledge.count() == 1
            assert await view.embedding_metadata.get() == recorded

    async def test_a_reset_that_is_not_committed_deletes_nothing(self, store: Store) -> None:
        await write(store, chunk())
        async with store.unit_of_work() as uow:
            assert await uow.knowledge.reset() == 1
        async with store.reader() as view:
            assert await view.knowledge.count() == 1


class EmbeddingMetadataContract:
    """One record for all tenants: provider, model and dimension."""

    async def test_what_is_recorded_is_read_by_every_tenant(self, store: Store) -> None:
        model = "".join(filter(str.isprintable, UNICODE))
        async with store.unit_of_work() as uow:
            dimensions = (await uow.embedding_metadata.get()).dimensions
            first = await uow.embedding_metadata.set(
                provider="first", model="m", dimensions=dimensions
            )
            assert (first.provider, first.model) == ("first", "m")
            await uow.embedding_metadata.set(provider="second", model=model, dimensions=dimensions)
            await uow.commit()
        for tenant in ("default", "other"):
            async with store.reader(tenant=tenant) as view:
                recorded = await view.embedding_metadata.get()
                assert (recorded.provider, recorded.model, recorded.dimensions) == (
                    "second",
                    model,
                    dimensions,
                )
                assert await view.embedding_metadata.find() == recorded
                await view.embedding_metadata.check_compatible(
                    provider="second", model=model, dimensions=dimensions
                )

    async def test_any_of_the_three_that_differs_is_a_mismatch_and_the_first_is_named(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            dimensions = (await uow.embedding_metadata.get()).dimensions
            await uow.embedding_metadata.set(provider="p", model="m", dimensions=dimensions)
            await uow.embedding_metadata.check_compatible(
                provider="p", model="m", dimensions=dimensions
            )
            others: tuple[tuple[str, str, int, str, object], ...] = (
                ("q", "n", 1, "provider", "p"),
                ("p", "n", 1, "model", "m"),
                ("p", "m", dimensions + 1, "dimensions", dimensions),
            )
            for provider, model, size, field, recorded in others:
                with pytest.raises(EmbeddingMismatch) as mismatch:
                    await uow.embedding_metadata.check_compatible(
                        provider=provider, model=model, dimensions=size
                    )
                assert (mismatch.value.field, mismatch.value.recorded) == (field, recorded)
            await uow.commit()

    async def test_the_first_application_sets_an_unspecified_record_and_the_others_check_it(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            dimensions = (await uow.embedding_metadata.get()).dimensions
            await uow.embedding_metadata.set(
                provider="unspecified", model="unspecified", dimensions=dimensions
            )
            # An unspecified record does not contradict any provider and model.
            await uow.embedding_metadata.check_compatible(
                provider="p", model="m", dimensions=dimensions
            )
            first = await uow.embedding_metadata.agree_on_embeddings(
                provider="p", model="m", dimensions=dimensions
            )
            assert (first.provider, first.model, first.dimensions) == ("p", "m", dimensions)
            await uow.commit()
        for tenant in ("default", "other"):
            async with store.unit_of_work(tenant=tenant) as uow:
                again = await uow.embedding_metadata.agree_on_embeddings(
                    provider="p", model="m", dimensions=dimensions
                )
                assert (again.provider, again.model) == ("p", "m")
                for provider, model, size, field in (
                    ("q", "m", dimensions, "provider"),
                    ("p", "n", dimensions, "model"),
                    ("p", "m", dimensions + 1, "dimensions"),
                ):
                    with pytest.raises(EmbeddingMismatch) as mismatch:
                        await uow.embedding_metadata.agree_on_embeddings(
                            provider=provider, model=model, dimensions=size
                        )
                    assert mismatch.value.field == field
                assert await uow.embedding_metadata.get() == again

    async def test_a_record_without_a_model_gets_only_the_model_of_its_provider(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            dimensions = (await uow.embedding_metadata.get()).dimensions
            await uow.embedding_metadata.set(
                provider="p", model="unspecified", dimensions=dimensions
            )
            with pytest.raises(EmbeddingMismatch) as mismatch:
                await uow.embedding_metadata.agree_on_embeddings(
                    provider="q", model="m", dimensions=dimensions
                )
            assert mismatch.value.field == "provider"
            assert (await uow.embedding_metadata.get()).model == "unspecified"
            record = await uow.embedding_metadata.agree_on_embeddings(
                provider="p", model="m", dimensions=dimensions
            )
            assert (record.provider, record.model) == ("p", "m")

    async def test_an_unspecified_record_does_not_accept_other_dimensions(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            dimensions = (await uow.embedding_metadata.get()).dimensions
            await uow.embedding_metadata.set(
                provider="unspecified", model="unspecified", dimensions=dimensions
            )
            with pytest.raises(EmbeddingMismatch) as mismatch:
                await uow.embedding_metadata.agree_on_embeddings(
                    provider="p", model="m", dimensions=dimensions + 1
                )
            assert (mismatch.value.field, mismatch.value.recorded) == ("dimensions", dimensions)
            assert (await uow.embedding_metadata.get()).model == "unspecified"

    async def test_of_two_applications_that_agree_at_once_one_gets_the_mismatch(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            dimensions = (await uow.embedding_metadata.get()).dimensions
            await uow.embedding_metadata.set(
                provider="unspecified", model="unspecified", dimensions=dimensions
            )
            await uow.commit()

        async def agree(model: str) -> str:
            async with store.unit_of_work() as uow:
                record = await uow.embedding_metadata.agree_on_embeddings(
                    provider="p", model=model, dimensions=dimensions
                )
                await uow.commit()
                return record.model

        results = await asyncio.gather(agree("m"), agree("n"), return_exceptions=True)
        assert sorted(type(result).__name__ for result in results) == ["EmbeddingMismatch", "str"]
        async with store.reader() as view:
            assert (await view.embedding_metadata.get()).model in results

    async def test_another_dimension_than_the_columns_have_cannot_be_recorded(
        self, store: Store
    ) -> None:
        async with store.unit_of_work() as uow:
            before = await uow.embedding_metadata.get()
            with pytest.raises(EmbeddingMismatch) as mismatch:
                await uow.embedding_metadata.set(
                    provider="p", model="m", dimensions=before.dimensions + 1
                )
            assert mismatch.value.field == "dimensions"
            assert await uow.embedding_metadata.get() == before
