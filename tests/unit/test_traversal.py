"""Statements are traversed in time that grows with their size."""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import ForUpdateArg

from domain import Review
from repositories.sql.traversal import parts

REVIEWS = Review.__table__


def test_each_part_is_visited_once_however_often_others_refer_to_it() -> None:
    level = select(REVIEWS.c.id).cte("level_0")
    for number in range(1, 40):
        other = level.alias()
        largest = select(func.count(level.c.id)).scalar_subquery()
        joined = select(level.c.id).join(other, other.c.id == level.c.id)
        level = joined.where(largest > number).cte(f"level_{number}")
    visited = list(parts(select(level.c.id)))
    assert REVIEWS in visited
    assert len(visited) == len(set(map(id, visited))) < 2_000


def test_parts_that_write_or_lock_rows_are_visited() -> None:
    written = update(REVIEWS).values(repo="acme/api").returning(REVIEWS.c.id).cte("written")
    statement = select(written.c.id).where(written.c.id.in_(select(REVIEWS.c.id)))
    assert any(isinstance(part, UpdateBase) for part in parts(statement))
    locked = select(select(REVIEWS.c.id).with_for_update().cte("locked").c.id)
    assert any(isinstance(part, ForUpdateArg) for part in parts(locked))
    assert not any(isinstance(part, ForUpdateArg | UpdateBase) for part in parts(select(REVIEWS)))
