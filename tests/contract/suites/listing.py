"""Many rows at once: in lists, pages and streams, and how they are written.

Every kind behaves like reviews.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest

from domain import (
    AlreadyExists,
    Cursor,
    InvalidCursor,
    InvalidInput,
    Review,
    TenantMismatch,
    TransactionAborted,
    where,
)
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import (
    MANY,
    UNICODE,
    chunk,
    event,
    finding,
    memory,
    reaction,
    review,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from domain import UnitOfWork
    from domain.schema.base import Entity
    from tests.contract.suites.store import Store

both_orders = pytest.mark.parametrize("order", ["ascending", "descending"])


async def _saved(store: Store, number: int) -> list[UUID]:
    reviews = [review(pr_number=n) for n in range(1, number + 1)]
    await write(store, *reviews)
    return [one.id for one in reviews]


class ListingContract:
    """Rows come in the order of their ids, which is the order that they were made in."""

    async def test_ids_may_be_asked_for_twice_in_any_order_and_from_any_iterable(
        self, store: Store
    ) -> None:
        ids = await _saved(store, 3)
        async with store.reader() as view:
            rows = await view.reviews.get_many(iter([ids[2], uuid4(), ids[0], ids[2], ids[0]]))
        assert list(rows) == [ids[2], ids[0]]
        assert [one.pr_number for one in rows.values()] == [3, 1]

    async def test_very_many_ids_may_be_asked_for(self, store: Store) -> None:
        ids = await _saved(store, 2)
        async with store.reader() as view:
            assert (
                list(await view.reviews.get_many([*ids, *(uuid4() for _ in range(40_000))])) == ids
            )

    @both_orders
    async def test_a_list_has_as_many_rows_as_asked_for_from_one_end(
        self, store: Store, order: str
    ) -> None:
        descending = order == "descending"
        ids = sorted(await _saved(store, 103), reverse=descending)
        async with store.reader() as view:
            for limit in (1, 102, 103, 104, 10_000):
                assert [
                    one.id for one in await view.reviews.list(limit=limit, descending=descending)
                ] == ids[:limit]
            assert [one.id for one in await view.reviews.list(descending=descending)] == ids[:100]
            some = await view.reviews.list(
                where("pr_number").at_least(100), limit=2, descending=descending
            )
            assert [one.pr_number for one in some] == ([103, 102] if descending else [100, 101])

    @pytest.mark.parametrize("limit", [0, -1, 10_001])
    async def test_a_limit_below_one_or_above_ten_thousand_is_refused(
        self, store: Store, limit: int
    ) -> None:
        async with store.unit_of_work() as uow:
            for ask in (uow.reviews.list, uow.reviews.page):
                with pytest.raises(InvalidInput) as refusal:
                    await ask(limit=limit)
                assert refusal.value.field == "limit"
            assert await uow.reviews.count() == 0, "the unit of work can still be used"

    @both_orders
    async def test_pages_neither_repeat_nor_leave_out_while_others_write_and_delete(
        self, store: Store, order: str
    ) -> None:
        descending = order == "descending"
        ids = sorted(await _saved(store, 23), reverse=descending)
        listed: list[UUID] = []
        after: Cursor | None = None
        while len(listed) < 100:
            async with store.reader() as view:
                page = await view.reviews.page(after=after, limit=5, descending=descending)
            listed += [one.id for one in page.items]
            if page.next is None:
                break
            after = Cursor.parse(str(page.next))
            await write(
                store, review(repo="noise/new"), review(repo="noise/old", id=UUID(int=len(listed)))
            )
            async with store.unit_of_work() as uow:
                assert await uow.reviews.delete(page.next.id), (
                    "the row that the next page comes after"
                )
                await uow.commit()
        assert [key for key in listed if key in set(ids)] == ids
        assert len(listed) == len(set(listed))

    async def test_a_page_that_is_just_full_is_the_last(self, store: Store) -> None:
        ids = await _saved(store, 6)
        async with store.reader() as view:
            first = await view.reviews.page(limit=3)
            last = await view.reviews.page(after=first.next, limit=3)
            whole = await view.reviews.page(limit=6)
        assert [[one.id for one in page.items] for page in (first, last, whole)] == [
            ids[:3],
            ids[3:],
            ids,
        ]
        assert (last.next, whole.next) == (None, None)

    async def test_pages_of_a_filter_hold_only_what_meets_it(self, store: Store) -> None:
        await _saved(store, 20)
        even = where("pr_number").one_of(range(2, 21, 2))
        numbers: list[int] = []
        after: Cursor | None = None
        async with store.reader() as view:
            for _ in range(4):
                page = await view.reviews.page(even, after=after, limit=3)
                numbers += [one.pr_number for one in page.items]
                after = page.next
        assert (numbers, after) == (list(range(2, 21, 2)), None)

    async def test_a_cursor_of_another_listing_or_direction_is_refused(self, store: Store) -> None:
        await _saved(store, 2)
        async with store.unit_of_work() as uow:
            after = (await uow.reviews.page(limit=1)).next
            assert after is not None
            with pytest.raises(InvalidCursor):
                await uow.findings.page(after=after)
            with pytest.raises(InvalidCursor):
                await uow.reviews.page(after=after, descending=True)
            text: Any = str(after)
            with pytest.raises(InvalidInput, match=r"pass Cursor\.parse\(after\)"):
                await uow.reviews.page(after=text)
            assert len((await uow.reviews.page(after=after)).items) == 1, (
                "the unit of work can still be used"
            )

    @both_orders
    async def test_a_stream_yields_everything_that_meets_the_filter_in_order(
        self, store: Store, order: str
    ) -> None:
        descending = order == "descending"
        ids = sorted(await _saved(store, 50), reverse=descending)
        async with store.reader() as view:
            for size in (1, 7, 50, 1_000):
                assert [
                    one.id
                    async for one in view.reviews.stream(batch_size=size, descending=descending)
                ] == ids
            few = view.reviews.stream(where("pr_number").at_most(2), descending=descending)
            assert [one.pr_number async for one in few] == ([2, 1] if descending else [1, 2])

    async def test_a_stream_neither_tracks_what_it_yields_nor_forgets_what_is_tracked(
        self, store: Store
    ) -> None:
        ids = await _saved(store, 5)
        async with store.unit_of_work() as uow:
            tracked = await uow.reviews.get(ids[3])
            async for one in uow.reviews.stream(batch_size=2):
                one.conclusion = "streamed"
            tracked.conclusion = "tracked"
            await uow.commit()
        async with store.reader() as view:
            conclusions = [one.conclusion for one in await view.reviews.list()]
        assert conclusions == ["unknown", "unknown", "unknown", "tracked", "unknown"]

    async def test_a_stream_may_be_left_early_and_shows_what_was_just_added(
        self, store: Store
    ) -> None:
        await _saved(store, 10)
        async with store.unit_of_work() as uow:
            uow.reviews.add(review(pr_number=11))
            assert [one.pr_number async for one in uow.reviews.stream(batch_size=3)] == list(
                range(1, 12)
            )
            async for one in uow.reviews.stream(batch_size=3):
                if one.pr_number == 4:
                    break
            assert await uow.reviews.count() == 11

    async def test_a_stream_without_a_batch_size_is_refused(self, store: Store) -> None:
        async with store.reader() as view:
            with pytest.raises(InvalidInput) as refusal:
                [one async for one in view.reviews.stream(batch_size=0)]
        assert refusal.value.field == "batch_size"

    async def test_very_many_rows_are_written_from_any_iterable(self, store: Store) -> None:
        async def late() -> AsyncIterator[Review]:
            for n in range(1, MANY + 1):
                yield review(pr_number=n, model="late")

        async with store.unit_of_work() as uow:
            assert await uow.reviews.add_many(late()) == MANY
            assert await uow.reviews.add_many(review(model="soon") for _ in range(2)) == 2
            assert await uow.reviews.add_many([]) == 0
            await uow.commit()
        async with store.reader() as view:
            assert (
                await view.reviews.count(),
                await view.reviews.count(where("model").equals("soon")),
            ) == (MANY + 2, 2)

    async def test_rows_with_and_without_a_value_that_the_server_fills_in_are_written_together(
        self, store: Store
    ) -> None:
        undated, dated = review(), review(created_at="2026-03-01T12:00:00Z")
        async with store.unit_of_work() as uow:
            assert await uow.reviews.add_many([undated, dated]) == 2
            rows = await uow.reviews.get_many([undated.id, dated.id])
        assert rows[dated.id].created_at == dated.created_at
        assert rows[undated.id].created_at not in (None, dated.created_at)

    async def test_of_many_rows_all_are_written_or_none(self, store: Store) -> None:
        twice = review()
        async with store.unit_of_work() as uow:
            with pytest.raises(AlreadyExists) as refusal:
                await uow.reviews.add_many([review(), twice, twice.model_copy()])
            with pytest.raises(TransactionAborted):
                await uow.commit()
        assert (refusal.value.constraint, refusal.value.table) == ("pk_reviews", "reviews")
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    async def test_progress_is_reported_up_to_the_number_of_rows(self, store: Store) -> None:
        of = review()
        to = finding(of)
        await write(store, of, to)
        again = chunk("again")
        async with store.unit_of_work() as uow:
            counts: list[list[int]] = [[] for _ in range(6)]
            await uow.reviews.add_many([review() for _ in range(3)], progress=counts[0].append)
            await uow.knowledge.upsert_many([again, chunk(), again], progress=counts[1].append)
            await uow.memories.write_many([memory() for _ in range(3)], progress=counts[2].append)
            await uow.telemetry.record_many([event() for _ in range(3)], progress=counts[3].append)
            await uow.reactions.add_many([reaction(to)] * 3, progress=counts[4].append)
            await uow.reviews.add_many([], progress=counts[5].append)
        assert counts == [[3]] * 5 + [[]]

    async def test_what_progress_raises_aborts_the_write(self, store: Store) -> None:
        def fail(_: int) -> None:
            raise ZeroDivisionError

        for form in (list, iter):
            async with store.unit_of_work() as uow:
                with pytest.raises(ZeroDivisionError):
                    await uow.reviews.add_many(form([review()]), progress=fail)
                with pytest.raises(TransactionAborted):
                    await uow.commit()
        async with store.reader() as view:
            assert await view.reviews.count() == 0

    @pytest.mark.parametrize("written", [0, MANY])
    async def test_an_interrupted_write_of_many_rows_writes_nothing(
        self, store: Store, written: int
    ) -> None:
        of = review()
        to = finding(of)
        await write(store, of, to)
        ways: Sequence[
            tuple[Callable[..., Entity], Callable[[UnitOfWork], Callable[..., Awaitable[int]]]]
        ] = (
            (review, lambda uow: uow.reviews.add_many),
            (chunk, lambda uow: uow.knowledge.upsert_many),
            (memory, lambda uow: uow.memories.write_many),
            (event, lambda uow: uow.telemetry.record_many),
            (partial(reaction, to), lambda uow: uow.reactions.add_many),
        )

        def foreign(make: Callable[..., Any]) -> Iterator[Any]:
            yield from (make() for _ in range(written))
            yield make(tenant="other")

        def breaking(make: Callable[..., Any]) -> Iterator[Any]:
            yield from (make() for _ in range(written))
            raise ZeroDivisionError

        for make, way in ways:
            for rows, error in (
                (foreign(make), TenantMismatch),
                (breaking(make), ZeroDivisionError),
            ):
                async with store.unit_of_work() as uow:
                    with pytest.raises(error):
                        await way(uow)(rows)
                    # A statement that was sent before ends the unit of work.
                    with suppress(TransactionAborted):
                        await uow.commit()
        async with store.reader() as view:
            repositories = (
                view.reviews,
                view.knowledge,
                view.memories,
                view.telemetry,
                view.reactions,
            )
            assert [await repository.count() for repository in repositories] == [1, 0, 0, 0, 0]

    async def test_values_are_read_as_they_were_written(self, store: Store) -> None:
        plain = {
            "name": UNICODE,
            "none": None,
            "numbers": [0, -0.0, 1.5, 10**30, 1e22],
            "nested": {"": [[], {}, True]},
        }
        most = review(
            repo="é" * 200,
            pr_number=2**31 - 1,
            created_at="0001-01-01T00:00:00.000001Z",
            config_snapshot=plain,
            model=UNICODE,
            conclusion="",
            duration_ms=0,
        )
        latest = review(created_at="9999-12-31T23:59:59.999998Z", model="x" * 1_000_000)
        await write(store, most, latest)
        async with store.reader() as view:
            assert await view.reviews.get(most.id) == most
            assert await view.reviews.get(latest.id) == latest


class BatchesContract:
    """Progress is reported after each batch of 5,000 rows."""

    @pytest.mark.parametrize(
        ("form", "counts"),
        [
            # The last chunk has the name of the first, and only the last of equal names is written.
            (list, [[5_001], [5_000, 5_001], [5_001]]),
            (iter, [[5_000, 5_001], [5_000, 5_001], [5_000, 5_001]]),
        ],
    )
    async def test_progress_is_reported_after_each_batch(
        self, store: Store, form: Callable[[list[Any]], Any], counts: list[list[int]]
    ) -> None:
        assert await self._progress_of(store, form, 5_001) == counts

    async def test_a_full_batch_is_reported_once(self, store: Store) -> None:
        assert await self._progress_of(store, iter, 5_000) == [[5_000]] * 3

    @staticmethod
    async def _progress_of(
        store: Store, form: Callable[[list[Any]], Any], rows: int
    ) -> list[list[int]]:
        counts: list[list[int]] = [[] for _ in range(3)]
        reviews = [review() for _ in range(rows)]
        memories = [memory() for _ in range(rows)]
        chunks = [chunk() for _ in range(rows)]
        chunks[-1] = chunks[0]
        async with store.unit_of_work() as uow:
            await uow.reviews.add_many(form(reviews), progress=counts[0].append)
            await uow.memories.write_many(form(memories), progress=counts[1].append)
            await uow.knowledge.upsert_many(form(chunks), progress=counts[2].append)
        return counts
