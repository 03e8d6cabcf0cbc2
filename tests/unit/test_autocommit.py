"""Which commits one statement can insert."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import column, select
from sqlalchemy.dialects.postgresql import INT4RANGE
from sqlalchemy.orm import Session, foreign, relationship, remote
from sqlmodel import Field, Relationship, col

from domain import ApplicationEntity, Finding, Review, references
from repositories.postgres.autocommit import Insert, write_of
from repositories.postgres.compiled_statements import DIALECT, compiled_statement
from repositories.postgres.mapping import order_writes_by_foreign_keys
from repositories.sql.upsert import insert_row, insert_rows, returned_columns, written_columns
from repositories.testing.factories import FindingFactory, ReviewFactory


class Approval(ApplicationEntity, table=True):
    """An approval of a review, with a relationship of its own."""

    __tablename__ = "test_approvals"
    __table_args__ = (references(Review, "review_id"),)

    review_id: UUID | None = Field(default=None, description="Approved review.")
    vote_id: UUID | None = Field(default=None, description="Vote that it follows.")
    review: Review | None = Relationship(
        sa_relationship=relationship(
            Review,
            primaryjoin=lambda: foreign(col(Approval.review_id)) == remote(col(Review.id)),
            cascade="",
            overlaps="_reviews",
        )
    )


class ApprovalVote(ApplicationEntity, table=True):
    """A vote, whose `id` reads like the column `vote_id` of an approval."""

    __tablename__ = "test_approvals_vote"

    reason: str = Field(
        default="it's fine", sa_column_kwargs={"server_default": "it's fine"}, description="Why."
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


def test_parents_are_inserted_before_their_children() -> None:
    review = ReviewFactory.build()
    finding = FindingFactory.build(review_id=review.id)
    with Session() as session:
        session.add_all((finding, review))
        write = write_of(session)
    assert isinstance(write, Insert)
    assert write.entities == [review, finding]


def test_each_column_of_each_row_has_a_parameter_of_its_own() -> None:
    kinds = (Approval, ApprovalVote)
    compiled = insert_rows(kinds).compile(dialect=DIALECT)
    assert len(compiled.params) == sum(len(written_columns(kind)) for kind in kinds)


def test_a_quote_in_a_default_is_a_quote() -> None:
    assert "coalesce($4::VARCHAR, 'it''s fine')" in str(
        insert_row(ApprovalVote).compile(dialect=DIALECT)
    )


def test_a_column_of_ranges_can_be_selected_by_the_driver() -> None:
    assert compiled_statement(select(column("during", INT4RANGE()))) is not None
