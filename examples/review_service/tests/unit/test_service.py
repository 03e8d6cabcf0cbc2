"""The service on a database in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from domain import (
    Embedder,
    Finding,
    InvalidInput,
    NotFound,
    Outcome,
    Reaction,
    ReferenceViolated,
    Severity,
    Vector,
    where,
)
from examples.review_service.embedder import HashedWords
from examples.review_service.service import (
    Delivery,
    Opinion,
    Recorded,
    ReviewService,
    ReviewUnderWay,
)
from repositories import FakeDatabase
from repositories.testing.factories import (
    FindingFactory,
    ReviewFactory,
    ReviewGraph,
    review_with_findings,
)


def delivery(head: str = "head") -> Delivery:
    return Delivery(
        base_sha="base", head_sha=head, delivery_id=f"delivery-of-{head}", action="opened"
    )


async def record(service: ReviewService, graph: ReviewGraph, head: str = "head") -> Recorded:
    graph.review.head_sha = head
    return await service.record(graph.review, graph.findings, delivery(head))


def thumb(
    reaction: Reaction = Reaction.THUMBS_DOWN, *, reaction_id: int = 1, login: str = "ann"
) -> Opinion:
    return Opinion(reaction=reaction, login=login, reaction_id=reaction_id)


async def test_a_review_is_recorded_with_its_findings(
    service: ReviewService, fake_database: FakeDatabase
) -> None:
    graph = review_with_findings(repo="acme/api", pr_number=7)
    recorded = await record(service, graph)
    assert recorded == Recorded(
        review_id=graph.review.id,
        finding_ids=[finding.id for finding in graph.findings],
        is_new=True,
    )
    async with fake_database.reader(tenant="acme") as view:
        assert (await view.reviews.get(graph.review.id)).repo == "acme/api"
        assert await view.findings.count(where("review_id").equals(graph.review.id)) == 3
        assert await view.runs.last_reviewed_head("acme/api", 7) == "head"


async def test_the_same_head_is_recorded_once(
    service: ReviewService, fake_database: FakeDatabase
) -> None:
    first = await record(service, review_with_findings(repo="acme/api", pr_number=7))
    again = await record(service, review_with_findings(repo="acme/api", pr_number=7, findings=5))
    assert again == Recorded(review_id=first.review_id, finding_ids=first.finding_ids, is_new=False)
    async with fake_database.reader(tenant="acme") as view:
        assert (await view.reviews.count(), await view.findings.count()) == (1, 3)


async def test_another_head_is_another_review(service: ReviewService) -> None:
    first = await record(service, review_with_findings(repo="acme/api", pr_number=7), "one")
    other = await record(service, review_with_findings(repo="acme/api", pr_number=7), "two")
    assert first.is_new
    assert other.is_new
    assert (await service.stats("acme/api")).reviews == 2


async def test_of_many_who_record_one_head_at_once_one_does(service: ReviewService) -> None:
    graphs = [review_with_findings(repo="acme/api", pr_number=7) for _ in range(8)]
    recorded = await asyncio.gather(*(record(service, graph) for graph in graphs))
    assert [each.is_new for each in recorded].count(True) == 1
    assert len({each.review_id for each in recorded}) == 1


async def test_while_another_head_is_being_recorded_a_head_has_to_be_brought_again(
    service: ReviewService, fake_database: FakeDatabase
) -> None:
    graph = review_with_findings(repo="acme/api", pr_number=7)
    async with fake_database.unit_of_work(tenant="acme") as other:
        await other.runs.claim(
            "acme/api", 7, base_sha="base", head_sha="two", delivery_id="other", action="opened"
        )
        waiting = asyncio.create_task(record(service, graph, "one"))
        await asyncio.sleep(0.01)
        await other.commit()
        with pytest.raises(ReviewUnderWay):
            await waiting
    assert (await record(service, graph, "one")).is_new


async def test_nothing_of_a_review_is_kept_that_cannot_be_kept_whole(
    service: ReviewService, fake_database: FakeDatabase
) -> None:
    stray: Sequence[Finding] = [FindingFactory.build()]
    with pytest.raises(ReferenceViolated):
        await service.record(ReviewFactory.build(repo="acme/api"), stray, delivery())
    async with fake_database.reader(tenant="acme") as view:
        assert (await view.reviews.count(), await view.runs.count()) == (0, 0)


async def test_a_thumb_is_counted_and_learned_from(
    service: ReviewService, fake_database: FakeDatabase
) -> None:
    graph = review_with_findings(repo="acme/api")
    await record(service, graph)
    result = await service.record_feedback(graph.findings[0].id, thumb())
    assert (result.is_counted, result.is_learned) == (True, True)
    async with fake_database.reader(tenant="acme") as view:
        [memory] = await view.memories.list(with_embedding=True)
        [pattern] = await view.reactions.patterns("acme/api")
    assert (memory.finding_id, memory.outcome, memory.owner) == (
        graph.findings[0].id,
        Outcome.THUMBS_DOWN,
        "acme",
    )
    assert (memory.finding_text, memory.embedding_model) == (
        graph.findings[0].title,
        "hashed-words",
    )
    assert pattern.thumbs_down == 1


async def test_the_same_thumb_counts_once_and_a_second_person_teaches_nothing_new(
    service: ReviewService,
) -> None:
    graph = review_with_findings(repo="acme/api")
    await record(service, graph)
    finding = graph.findings[0].id
    result = [
        await service.record_feedback(finding, opinion)
        for opinion in (
            thumb(),
            thumb(),
            thumb(reaction_id=2, login="bob"),
            thumb(Reaction.THUMBS_UP, reaction_id=3),
        )
    ]
    assert [(each.is_counted, each.is_learned) for each in result] == [
        (True, True),
        (False, False),
        (True, False),
        (True, True),
    ]


async def test_an_embedding_is_made_only_for_what_is_new_and_outside_any_unit_of_work(
    fake_database: FakeDatabase,
) -> None:
    class Careful(HashedWords):
        calls = 0

        async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
            self.calls += 1
            # Were the finding locked by a unit of work that waits for this, it could not be
            # deleted.
            async with fake_database.unit_of_work(tenant="acme") as uow:
                assert await uow.findings.delete(spare)
                await uow.commit()
            return await super().embed(texts)

    embedder = Careful(fake_database.dimensions)
    service = ReviewService(fake_database, embedder, tenant="acme")
    graph = review_with_findings(repo="acme/api")
    spare = graph.findings[2].id
    await record(service, graph)
    await service.record_feedback(graph.findings[0].id, thumb())
    await service.record_feedback(graph.findings[0].id, thumb(reaction_id=2))
    assert embedder.calls == 1


async def test_a_reaction_to_a_finding_without_a_comment_has_to_name_one(
    service: ReviewService,
) -> None:
    review = ReviewFactory.build(repo="acme/api")
    finding = FindingFactory.build(review=review)
    await service.record(review, [finding], delivery())
    with pytest.raises(InvalidInput) as refused:
        await service.record_feedback(finding.id, thumb())
    assert refused.value.field == "comment_id"
    result = await service.record_feedback(
        finding.id, Opinion(reaction=Reaction.THUMBS_UP, login="ann", reaction_id=1, comment_id=5)
    )
    assert result.is_counted


async def test_a_thumb_on_a_finding_of_another_tenant_finds_nothing(
    service: ReviewService, fake_database: FakeDatabase, embedder: Embedder
) -> None:
    graph = review_with_findings(repo="acme/api")
    await record(service, graph)
    with pytest.raises(NotFound):
        await ReviewService(fake_database, embedder, tenant="globex").record_feedback(
            graph.findings[0].id, thumb()
        )


async def test_a_memory_is_returned_for_a_similar_text(service: ReviewService) -> None:
    review = ReviewFactory.build(repo="acme/api")
    titles = ("Retries are not bounded by a deadline", "Access token is written to the log")
    findings = [FindingFactory.build(review=review, posted=True, title=title) for title in titles]
    await service.record(review, findings, delivery())
    for number, finding in enumerate(findings):
        await service.record_feedback(finding.id, thumb(reaction_id=number))
    similar = await service.similar("acme/api", "bounded retries", limit=5)
    assert similar.recall.memories[0].hit.item.finding_text == titles[0]
    assert [hit.item.title for hit in similar.findings] == [titles[0]]


async def test_what_another_repository_of_the_owner_learned_is_shared(
    service: ReviewService,
) -> None:
    graph = review_with_findings(repo="acme/api")
    await record(service, graph)
    await service.record_feedback(graph.findings[0].id, thumb())
    similar = await service.similar("acme/web", graph.findings[0].title, limit=5)
    assert [(memory.shared, memory.hit.item.repo) for memory in similar.recall.memories] == [
        (True, "acme/api")
    ]
    assert len(similar.findings) == 0


async def test_figures_are_those_of_the_findings(service: ReviewService) -> None:
    graph = review_with_findings(findings=4, suppressed=1, repo="acme/api")
    await record(service, graph)
    stats = await service.stats("acme/api")
    assert (stats.reviews, stats.findings, stats.suppressed) == (1, 4, 1)
    critical = sum(finding.severity is Severity.CRITICAL for finding in graph.findings)
    assert stats.by_severity[Severity.CRITICAL] == critical
    assert (
        await service.stats("acme/api", since=datetime.now(UTC) + timedelta(hours=1))
    ).reviews == 0


async def test_trends_count_on_the_day_that_it_was() -> None:
    now = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    database = FakeDatabase(clock=lambda: now)
    service = ReviewService(database, HashedWords(), tenant="acme")
    await record(service, review_with_findings(repo="acme/api"), "one")
    now += timedelta(days=1)
    await record(service, review_with_findings(repo="acme/api", findings=1, reactions=0), "two")
    trends = await service.trends("acme/api", days=3)
    assert [(day.day.isoformat(), day.findings) for day in trends] == [
        ("2026-03-01", 0),
        ("2026-03-02", 3),
        ("2026-03-03", 1),
    ]
