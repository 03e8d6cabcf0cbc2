"""Random operations have the same results, order and errors on PostgreSQL and in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from domain import Review, Vector
from examples.review_labels.labels import ReviewLabel
from examples.review_labels.labels_fake import FakeLabelReader
from examples.review_labels.notes import ReviewNote
from repositories.testing.stateful import Call, Difference, World, compare_stores

if TYPE_CHECKING:
    from pydantic import SecretStr

REPOS = ("acme/api", "acme/web")
BODIES = (
    "Every retry needs a deadline.",
    "The palette is too bright for readers at night, and retries do not help.",
    "A pool of connections has a deadline as well; name it.",
)


def review(world: World) -> Review:
    return Review(repo=world.choices.pick(REPOS), pr_number=1 + world.choices.below(3))


def label(world: World) -> ReviewLabel:
    pick = world.choices.pick
    return ReviewLabel(
        repo=pick(REPOS),
        pr_number=1 + world.choices.below(3),
        label=pick(("api", "security")),
        person=pick(("ada", "bob")),
    )


def note(world: World) -> ReviewNote:
    # The dimension of test databases, by the settings of pytest.
    dimensions = 1024
    embedding = [1.0, float(world.choices.below(4))] + [0.0] * (dimensions - 2)
    return ReviewNote(
        review_id=world.id_of(Review),
        title=world.choices.pick(("Retries", "Colours of the page")),
        body=world.choices.pick(BODIES),
        embedding=world.choices.maybe((Vector(embedding),)),
    )


def pull_request(world: World) -> Call:
    repo, number = world.choices.pick(REPOS), 1 + world.choices.below(3)
    return lambda unit: unit.repository(ReviewLabel).of_pull_request(repo, number)


def most_used(world: World) -> Call:
    repo, limit = world.choices.pick(REPOS), 1 + world.choices.below(2)
    return lambda unit: unit.repository(ReviewLabel).most_used(repo, limit=limit)


MAKERS = {Review: review, ReviewLabel: label, ReviewNote: note}
READS = (pull_request, most_used)


def test_both_stores_do_the_same(recollect_url: SecretStr) -> None:
    compare_stores(recollect_url, MAKERS, reads=READS, steps=300)


def test_a_fake_that_counts_wrong_is_reported(
    recollect_url: SecretStr, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct = FakeLabelReader.most_used

    async def most_used(self: Any, repo: str, *, limit: int = 10) -> Any:
        return [(name, 2 * uses) for name, uses in await correct(self, repo, limit=limit)]

    monkeypatch.setattr(FakeLabelReader, "most_used", most_used)
    with pytest.raises(Difference, match="most_used"):
        compare_stores(recollect_url, {ReviewLabel: label}, reads=READS, steps=3_000)
