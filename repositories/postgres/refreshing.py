"""Refreshes tracked entities after a rollback to a savepoint, or a statement that changed rows.

Each then has the values of its row. An entity without a row is no longer tracked.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import make_transient
from sqlalchemy.orm.attributes import instance_state

from domain.schema.base import Entity
from repositories.postgres.attaching import refresh
from repositories.sql.rows import by_ids, selected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import InstanceState


@dataclass(frozen=True, slots=True)
class TrackedSnapshot:
    """A tracked entity, and its values before a rollback, which removes some of them."""

    entity: Entity
    values: dict[str, Any]

    @property
    def kind(self) -> tuple[type[Entity], bool]:
        """Its class, and whether its embedding is loaded."""
        kind = type(self.entity)
        return kind, any(name in self.values for name in kind.embedding_fields())


class SavepointLog:
    """The values of entities that were written in savepoints.

    A flush that fails removes the values from the entities.
    """

    def __init__(self) -> None:
        self._values: dict[InstanceState[Any], dict[str, Any]] = {}

    def remember(self, session: AsyncSession) -> None:
        """Store the values of the entities that the next flush writes."""
        self._values.update(
            (instance_state(entity), dict(vars(entity))) for entity in session.dirty
        )

    def forget(self) -> None:
        """Remove all values, because no savepoint is open."""
        self._values.clear()

    def snapshots_of(self, session: AsyncSession) -> list[TrackedSnapshot]:
        """Return the session's entities with their values, and with those that a flush removed."""
        entities: list[Any] = list(session.sync_session.identity_map.values())
        return [
            TrackedSnapshot(entity, self._values.get(instance_state(entity), {}) | vars(entity))
            for entity in entities
        ]


async def refresh_tracked(
    session: AsyncSession, snapshots: Sequence[TrackedSnapshot], *, tenant: str
) -> None:
    """Read the rows of tracked entities again, in one statement for each class.

    SQLAlchemy does it only for the rows that its own flush wrote.
    """
    kinds: defaultdict[tuple[type[Entity], bool], list[TrackedSnapshot]] = defaultdict(list)
    for one in snapshots:
        if instance_state(one.entity).persistent:
            kinds[one.kind].append(one)
    for (entity, with_embedding), of_kind in kinds.items():
        select_rows = selected(entity, with_embedding=with_embedding)
        statement = by_ids(select_rows, entity, [one.values["id"] for one in of_kind])
        rows = (await session.execute(statement, {"tenant": tenant})).mappings()
        by_id = {row["id"]: dict(row) for row in rows}
        for one in of_kind:
            if (row := by_id.get(one.values["id"])) is not None:
                refresh(one.entity, row)
            else:
                session.expunge(one.entity)
                make_transient(one.entity)
                vars(one.entity).update(
                    {
                        name: value
                        for name, value in one.values.items()
                        if name in entity.model_fields
                    }
                )
