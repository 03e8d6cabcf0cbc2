"""The application's repositories do the same on PostgreSQL and in memory."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import uuid4

import pytest

from domain import AlreadyExists, DatabasePort, Entity, ReferenceViolated, Review, Vector
from examples.review_labels.labels import Labels, ReviewLabel, add_label, rename_person
from examples.review_labels.notes import ReviewNote
from repositories import Database
from repositories.testing.contract import EntityContract
from repositories.testing.statements import require_tenant_conditions


class TestLabels(EntityContract):
    def make(self) -> Sequence[Entity]:
        return [ReviewLabel(repo="acme/api", pr_number=7, label=str(uuid4()), person="ada")]


class TestNotes(EntityContract):
    def make(self) -> Sequence[Entity]:
        review = Review(repo="acme/api", pr_number=7)
        return [review, ReviewNote(review_id=review.id, title="a", body="b")]


async def test_a_label_is_put_on_a_pull_request_once(recollect_store: DatabasePort) -> None:
    await add_label(recollect_store, "acme/api", 7, "security", by="ada")
    with pytest.raises(AlreadyExists) as refusal:
        await add_label(recollect_store, "acme/api", 7, "security", by="bob")
    assert refusal.value.constraint == "uq_review_labels_tenant_repo_pr_number_label"
    async with recollect_store.reader() as view:
        assert [each.person for each in await view.repository(ReviewLabel).list()] == ["ada"]


async def test_operations_of_the_repository(recollect_store: DatabasePort) -> None:
    for number, label in [(7, "security"), (7, "api"), (8, "api")]:
        await add_label(recollect_store, "acme/api", number, label, by="ada")
    async with recollect_store.unit_of_work() as uow:
        labels = uow.provide(Labels)
        assert await labels.of_pull_request("acme/api", 7) == ["api", "security"]
        assert await labels.most_used("acme/api") == [("api", 2), ("security", 1)]
        assert labels is uow.repository(ReviewLabel)


async def test_notes_are_found_by_meaning_and_by_words(recollect_store: DatabasePort) -> None:
    near = Vector([1.0] + [0.0] * (recollect_store.dimensions - 1))
    far = Vector([0.0] * (recollect_store.dimensions - 1) + [1.0])
    async with recollect_store.unit_of_work() as uow:
        review = uow.reviews.add(Review(repo="acme/api", pr_number=7))
        notes = uow.repository(ReviewNote)
        for title, body, embedding in [
            ("Retries", "Every retry needs a deadline.", near),
            ("Colours", "The palette is too bright.", far),
        ]:
            notes.add(ReviewNote(review_id=review.id, title=title, body=body, embedding=embedding))
        await uow.commit()
    async with recollect_store.reader() as view:
        notes_read = view.repository(ReviewNote)
        nearest = await notes_read.vector_search(near, limit=1)
        assert [hit.item.title for hit in nearest] == ["Retries"]
        by_word = await notes_read.keyword_search("deadlines")
        assert [hit.item.title for hit in by_word] == ["Retries"]
        fused = await notes_read.hybrid_search("palette", near)
        assert {hit.item.title for hit in fused} == {"Retries", "Colours"}
    async with recollect_store.unit_of_work() as uow:
        await uow.reviews.delete(review.id)
        assert not await uow.repository(ReviewNote).exists(), "notes go with their review"


async def test_a_note_needs_a_review(recollect_store: DatabasePort) -> None:
    async with recollect_store.unit_of_work() as uow:
        orphan = ReviewNote(review_id=Review(repo="a", pr_number=1).id, title="a", body="b")
        uow.repository(ReviewNote).add(orphan)
        with pytest.raises(ReferenceViolated):
            await uow.flush()


async def test_one_statement_renames_a_person(recollect_database: Database) -> None:
    await add_label(recollect_database, "acme/api", 7, "security", by="ada")
    async with require_tenant_conditions(recollect_database):
        assert await rename_person(recollect_database, "ada", "ada.l") == 1
    async with recollect_database.reader() as view:
        [label] = await view.repository(ReviewLabel).list()
        assert label.person == "ada.l"
