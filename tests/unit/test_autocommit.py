"""Which commits one statement can insert."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session, foreign, relationship, remote
from sqlmodel import Field, Relationship, col

from domain import ApplicationEntity, Finding, Review, references
from repositories.postgres.autocommit import Insert, write_of
from repositories.postgres.mapping import order_writes_by_foreign_keys
from repositories.sql.upsert import insert_row, insert_rows, returned_columns
from repositories.testing.factories import ReviewFactory


class Approval(ApplicationEntity, table=True):
    """An approval of a review, with a relationship of its own."""

    __tablename__ = "test_approvals"
    __table_args__ = (references(Review, "review_id"),)

    review_id: UUID | None = Field(default=None, description="Approved review.")
    review: Review | None = Relationship(
        sa_relationship=relationship(
            Review,
            primaryjoin=lambda: foreign(col(Approval.review_id)) == remote(col(Review.id)),
            cascade="",
            overlaps="_reviews",
        )
    )


class Vote(ApplicationEntity, table=True):
    """A vote on a review."""

    __tablename__ = "test_votes"
    __table_args__ = (references(Review, "review_id"),)

    review_id: UUID | None = Field(default=None, description="Review of the vote.")


order_writes_by_foreign_keys([Approval, Vote])


def test_an_entity_with_a_relationship_of_its_own_is_left_to_the_flush() -> None:
    review = ReviewFactory.build(tenant="acme")
    with Session() as session:
        session.add_all((review, Vote(tenant="acme", review_id=review.id)))
        assert isinstance(write_of(session), Insert)
        approval = Approval(tenant="acme")
        approval.review = review
        session.add(approval)
        assert write_of(session) is None


def test_two_entities_of_a_class_are_left_to_the_flush() -> None:
    with Session() as session:
        session.add_all((ReviewFactory.build(), ReviewFactory.build()))
        assert write_of(session) is None


def test_the_inserts_of_several_classes_do_not_depend_on_executed_inserts() -> None:
    insert_rows.cache_clear()  # type: ignore[attr-defined]
    assert not insert_row(Review).exported_columns  # SQLAlchemy reads and stores them too
    statement = insert_rows((Review, Finding))
    returned = [*returned_columns(Review), *returned_columns(Finding)]
    assert len(statement.selected_columns) == len(returned) > 0
