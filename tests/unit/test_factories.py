"""The factories: one for every entity, valid by default, and the same again after a seed."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import RFC_4122

import pytest
from factory.declarations import Sequence
from factory.fuzzy import FuzzyChoice

from domain import (
    DEFAULT_DIMENSIONS,
    Entity,
    Finding,
    InvalidInput,
    Reaction,
    Review,
    Severity,
    known_dimensions,
)
from domain.schema.base import Identified
from domain.schema.registries import mappers
from domain.values.embedding import newest_dimensions
from repositories import FakeDatabase
from repositories.testing import factories
from repositories.testing.factories import (
    EntityFactory,
    FeedbackReactionFactory,
    FindingFactory,
    LearningMemoryFactory,
    ReviewFactory,
    SuppressionLogEntryFactory,
    new_embedding,
    new_id,
    review_with_findings,
    seed,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTITIES: set[type[Entity]] = {
    mapper.class_ for mapper in mappers.mappers if mapper.class_.__module__.startswith("domain.")
}
FACTORIES: dict[type[Entity], type[EntityFactory[Any]]] = {
    getattr(factories, name)._meta.model: getattr(factories, name)
    for name in factories.__all__
    if name.endswith("Factory") and name != EntityFactory.__name__
}


@pytest.fixture(autouse=True)
def eight_dimensions() -> Iterator[None]:
    with known_dimensions(8):
        yield


def dumps(value: int, *, batch: int = 2) -> dict[str, list[dict[str, Any]]]:
    seed(value)
    return {
        entity.__name__: [built.model_dump() for built in factory.build_batch(batch)]
        for entity, factory in FACTORIES.items()
    }


def test_every_entity_has_a_factory() -> None:
    assert len(ENTITIES) >= 18
    assert FACTORIES.keys() == ENTITIES, (
        "write a factory in repositories/testing/factories, and list it in its __init__.py"
    )


@pytest.mark.parametrize("entity", sorted(ENTITIES, key=str))
def test_what_a_factory_builds_is_valid(entity: type[Entity]) -> None:
    for built in FACTORIES[entity].build_batch(20):
        assert type(built) is entity
        assert entity.model_validate(built.model_dump()).model_dump() == built.model_dump()


def test_after_the_same_seed_the_same_is_built() -> None:
    assert dumps(7) == dumps(7)


def test_after_another_seed_nothing_with_an_id_is_the_same() -> None:
    one, other = dumps(7), dumps(8)
    with_id = {entity.__name__ for entity in ENTITIES if issubclass(entity, Identified)}
    assert len(with_id) >= 15
    assert {name for name in one if one[name] == other[name]} & with_id == set()


def test_another_process_builds_the_same_after_the_same_seed() -> None:
    program = """
from hashlib import sha256
from repositories.testing.factories import review_with_findings, seed
seed(7)
findings = [finding.model_dump() for finding in review_with_findings(findings=5).findings]
print(sha256(repr(findings).encode()).hexdigest())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    seed(7)
    here = [finding.model_dump() for finding in review_with_findings(findings=5).findings]
    assert ran.stdout.strip() == sha256(repr(here).encode()).hexdigest()


def test_without_a_seed_ids_are_new_and_grow() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert ids == sorted(set(ids))
    assert {(key.version, key.variant) for key in ids} == {(7, RFC_4122)}


def test_seeded_ids_grow_as_well_and_the_first_is_always_the_same() -> None:
    seed(1)
    ids = [new_id() for _ in range(1_000)]
    assert ids == sorted(set(ids))
    seed(1)
    assert new_id() == ids[0]


def test_an_embedding_has_norm_one_and_the_dimension_that_was_made_known_last() -> None:
    assert new_embedding().dimensions() == 8
    assert new_embedding(3).dimensions() == 3
    with known_dimensions(5):
        assert LearningMemoryFactory.build().embedding_dim == 5
    assert math.hypot(*new_embedding(300).to_list()) == pytest.approx(1)


def test_the_newest_dimension_is_that_of_the_last_one_opened_which_is_still_open() -> None:
    with known_dimensions(3):
        with known_dimensions(4):
            assert newest_dimensions() == 4
            with known_dimensions(3):
                assert newest_dimensions() == 3
        assert newest_dimensions() == 3


def test_without_an_open_database_embeddings_have_the_default_dimension() -> None:
    program = (
        "from repositories.testing.factories import new_embedding; "
        "print(new_embedding().dimensions())"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert int(ran.stdout) == DEFAULT_DIMENSIONS


def test_when_it_was_written_is_left_to_the_database() -> None:
    for name, built in dumps(1, batch=1).items():
        assert built[0].get("created_at") is None, name


def test_a_finding_takes_its_facts_from_its_review() -> None:
    review = ReviewFactory.build(repo="acme/api")
    finding = FindingFactory.build(review=review)
    assert (finding.review_id, finding.repo) == (review.id, "acme/api")
    assert FindingFactory.build(review__repo="acme/web").repo == "acme/web"
    assert FindingFactory.build(start_line=None).end_line is None
    assert finding.comment_id is None


def test_a_reaction_and_a_memory_repeat_the_facts_of_their_finding() -> None:
    finding = FindingFactory.build(posted=True)
    reaction = FeedbackReactionFactory.build(finding=finding, reaction_content=Reaction.THUMBS_UP)
    memory = LearningMemoryFactory.build(finding=finding)
    shared = {"repo", "review_id", "severity", "category", "file_path"}
    facts = finding.model_dump(include=shared)
    assert reaction.model_dump(include=shared) == memory.model_dump(include=shared) == facts
    assert reaction.finding_id == memory.finding_id == finding.id
    assert (reaction.title, memory.finding_text) == (finding.title, finding.title)
    assert reaction.comment_id == finding.comment_id
    assert memory.owner == finding.repo.split("/")[0]


def test_a_reaction_to_a_finding_without_a_comment_invents_one() -> None:
    reactions = FeedbackReactionFactory.build_batch(2, finding=FindingFactory.build())
    assert len({reaction.comment_id for reaction in reactions}) == 2


def test_a_suppression_names_the_findings_that_it_held_back() -> None:
    review = ReviewFactory.build()
    findings = FindingFactory.build_batch(2, review=review, suppressed=True)
    entry = SuppressionLogEntryFactory.build(review=review, findings=findings)
    assert entry.review_id == review.id
    assert (entry.matched_count, entry.finding_ids) == (
        2,
        tuple(finding.id for finding in findings),
    )


def test_a_graph_belongs_together() -> None:
    graph = review_with_findings(
        findings=4, reactions=5, suppressed=1, repo="acme/api", pr_number=7
    )
    assert (graph.review.repo, graph.review.pr_number) == ("acme/api", 7)
    assert {finding.review_id for finding in graph.findings} == {graph.review.id}
    assert [finding.suppressed for finding in graph.findings] == [False, False, False, True]
    assert [entry.finding_ids for entry in graph.suppressions] == [(graph.findings[3].id,)]
    assert Counter(reaction.finding_id for reaction in graph.reactions) == dict(
        zip((finding.id for finding in graph.findings), (2, 2, 1), strict=False)
    )
    by_id = {finding.id: finding for finding in graph.findings}
    for reaction in graph.reactions:
        finding = by_id[reaction.finding_id]
        assert reaction.comment_id == finding.comment_id
        assert (reaction.severity, reaction.category, reaction.title) == (
            finding.severity,
            finding.category,
            finding.title,
        )


def test_a_graph_declares_what_it_has() -> None:
    graph = review_with_findings(findings=6, suppressed=2)
    review = graph.review
    declared = (
        review.findings_critical,
        review.findings_major,
        review.findings_medium,
        review.findings_minor,
    )
    counted = Counter(finding.severity for finding in graph.findings)
    assert declared == tuple(counted[severity] for severity in Severity)
    assert (review.findings_total, review.suppressions_applied) == (6, 2)


@pytest.mark.parametrize(
    "sizes", [{"findings": 1, "suppressed": 2}, {"findings": 0}, {"findings": 1, "suppressed": -1}]
)
def test_a_graph_that_cannot_be_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="findings to react to"):
        review_with_findings(**sizes)


async def test_a_graph_is_written_in_one_unit_of_work_and_found_by_its_words() -> None:
    seed(1)
    database = FakeDatabase(dimensions=8)
    graphs = [review_with_findings(findings=5, repo="acme/api") for _ in range(8)]
    async with database.unit_of_work() as uow:
        for graph in graphs:
            graph.add_to(uow)
        await uow.commit()
    async with database.reader() as view:
        assert (await view.reviews.stats("acme/api")).findings == 40
        assert {"Retries"} <= {
            hit.item.title.split()[0]
            for hit in await view.findings.keyword_search("bounded retries")
        }
        assert (
            sum(pattern.thumbs_down for pattern in await view.reactions.patterns("acme/api")) == 16
        )


class MyReviewFactory(ReviewFactory):
    repo = FuzzyChoice(["mine/own"])
    pr_number = Sequence(lambda n: 100 + n)


def test_a_derived_factory_builds_the_same_entity_and_restarts_as_well() -> None:
    seed(1)
    built = MyReviewFactory.build()
    assert type(built) is Review
    assert (built.repo, built.pr_number) == ("mine/own", 100)
    seed(1)
    assert MyReviewFactory.build().model_dump() == built.model_dump()


def test_a_field_that_an_entity_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        FindingFactory.build(colour="red")
    assert isinstance(FindingFactory.build(), Finding)
