"""Entities keep their values when the session rolls back.

SQLAlchemy removes the values of tracked entities in a rollback, such as that of a flush that fails.
An entity that leaves the session then has no values and cannot be used again.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import event
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.orm.attributes import set_committed_value

_VALUES: Final = "values_before_rollback"
"""Key in `Session.info`, between the two events of a rollback."""


class TrackingSession(Session):
    """A session whose entities have the same values before and after a rollback."""


def _remember(session: Session) -> None:
    session.info[_VALUES] = [
        (entity, dict(vars(entity))) for entity in session.identity_map.values()
    ]


def _restore(session: Session, _: SessionTransaction) -> None:
    for entity, values in session.info.pop(_VALUES, ()):
        for name in type(entity).model_fields:
            if name in values and name not in vars(entity):
                set_committed_value(entity, name, values[name])


event.listen(TrackingSession, "after_rollback", _remember)
event.listen(TrackingSession, "after_soft_rollback", _restore)
