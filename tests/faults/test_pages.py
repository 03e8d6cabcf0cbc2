"""Keyset pagination while others write.

Every row that stays is seen once, in order, whatever comes and goes around it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from hypothesis import given, seed
from hypothesis import strategies as st

from domain import Cursor, Review
from tests.faults.test_inputs import plan, sides

if TYPE_CHECKING:
    from tests.contract.suites import Store
    from tests.faults.conftest import Effort, Promises
    from tests.stateful.sides import Sides

__all__ = ["sides"]

SEED: Final = int(os.environ.get("FAULTS_SEED", "0"))
MOST: Final = 12

# Few keys, so that some meet: beside each other, at both ends, and where another one was a moment
# ago.
keys: Final = st.integers(0, 40).map(lambda number: UUID(int=number << 64))
walks: Final = st.fixed_dictionaries(
    {
        "stay": st.sets(keys, max_size=MOST),
        "others": st.lists(st.tuples(st.sampled_from(("insert", "delete")), keys), max_size=30),
        "size": st.integers(1, MOST + 1),
        "descending": st.booleans(),
    }
)


def review(key: UUID) -> Review:
    # All were made at the same moment: nothing but the id tells them apart.
    return Review(id=key, repo="acme/api", pr_number=1)


async def walked(
    store: Store, stay: set[UUID], others: list[tuple[str, UUID]], size: int, *, descending: bool
) -> list[UUID]:
    """Read all pages, each in its own transaction, and write other rows between them."""
    coming = [(what, key) for what, key in others if key not in stay]
    async with store.unit_of_work() as uow:
        for one in await uow.reviews.list():
            await uow.reviews.delete(one.id)
        await uow.reviews.add_many([review(key) for key in stay])
        await uow.commit()
    listed: list[UUID] = []
    after: Cursor | None = None
    while True:
        async with store.reader() as view:
            page = await view.reviews.page(after=after, limit=size, descending=descending)
        assert len(page.items) <= size
        listed += [one.id for one in page.items]
        if page.next is None:
            return listed
        after = Cursor.parse(str(page.next))
        await write(store, [coming.pop() for _ in range(min(3, len(coming)))])


async def write(store: Store, changes: list[tuple[str, UUID]]) -> None:
    async with store.unit_of_work() as uow:
        for what, key in changes:
            if what == "delete":
                await uow.reviews.delete(key)
            elif await uow.reviews.find(key) is None:
                uow.reviews.add(review(key))
        await uow.commit()


def faults_of(listed: list[UUID], stay: set[UUID], *, descending: bool) -> Iterator[str]:
    """What is wrong with a walk."""
    if missing := stay - set(listed):
        yield f"{len(missing)} left out"
    if len(set(listed)) < len(listed):
        yield "one seen twice"
    if listed != sorted(listed, reverse=descending):
        yield "out of order"


def test_a_walk_sees_every_row_that_stays_once_and_in_order(
    sides: Sides, effort: Effort, promises: Promises
) -> None:
    walks_made = rows_seen = 0

    @seed(SEED)
    @plan(effort.times(25, 700))
    @given(walks)
    def check(walk: dict[str, Any]) -> None:
        nonlocal walks_made, rows_seen
        both = [sides.run(walked(store, **walk)) for store in sides.stores]
        for listed in both:
            assert not list(faults_of(listed, walk["stay"], descending=walk["descending"])), walk
            walks_made += 1
            rows_seen += len(listed)
        assert both[0] == both[1]

    check()
    wrong = sides.run(by_offset(sides.stores[1]))
    assert list(faults_of(wrong, set(map(_key, range(1, 7))), descending=False))
    promises(
        "Pages have no gaps and no repeats",
        f"0 of {walks_made:,} walks wrong, over {rows_seen:,} rows",
        control="1 of 1 walk by OFFSET leaves a row out",
    )


def _key(number: int) -> UUID:
    return UUID(int=number << 64)


async def by_offset(store: Any) -> list[UUID]:
    """The same walk by OFFSET, while the first row is deleted."""
    from sqlalchemy import text

    await walked(store, {_key(number) for number in range(7)}, [], MOST, descending=False)
    listed: list[UUID] = []
    async with store.engine.connect() as connection:
        for offset in range(0, 7, 2):
            ids = await connection.scalars(
                text(f"SELECT id FROM reviews ORDER BY id LIMIT 2 OFFSET {offset}")
            )
            listed += ids.all()
            await write(store, [("delete", _key(0))])
            await connection.rollback()
    return listed
