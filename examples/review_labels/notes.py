"""Notes that reviewers keep, and search by meaning and by words."""

from __future__ import annotations

from uuid import UUID

from domain import ApplicationEntity, Review, Searchable, index, references, searchable
from domain.values.text import Name, Text
from repositories import register


class ReviewNote(Searchable, ApplicationEntity, table=True):
    """One note on one review; it is deleted with the review."""

    __tablename__ = "review_notes"
    __table_args__ = (
        references(Review, "review_id"),
        index("review_id"),
        *searchable("body", title="A", body="C"),
    )

    review_id: UUID
    title: Name
    body: Text


register(ReviewNote, name="notes")
