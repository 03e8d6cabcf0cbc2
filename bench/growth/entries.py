"""One entry, or several, for every operation of every port, with arguments of each kind."""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bench.growth.data import DAYS, DIMENSIONS, LARGE_REPO, OWNER, SMALL_REPO
from bench.growth.entry import MANY, NEAR, PLACES, SUM, WORDS, Call, Entry, Rows
from bench.growth.generic_entries import MAKERS, reads, repairs, writes
from domain import (
    Category,
    ConfidenceBand,
    Outcome,
    Review,
    ReviewReader,
    Severity,
    UsageBy,
    where,
)
from tests.contract.suites import samples
from tests.contract.suites.kinds import KINDS

if TYPE_CHECKING:
    pass


def entries() -> list[Entry]:
    """Return an entry, or several, for every operation.

    Reads come first: the rows of a write that is rolled back stay in the indexes until VACUUM.
    """
    return sorted(_all(), key=lambda entry: entry.writes)


def _all() -> list[Entry]:
    return [
        *(entry for kind in KINDS for entry in reads(kind.path)),
        *(entry for path in MAKERS for entry in writes(path)),
        *(entry for path in ("knowledge", "memories") for entry in repairs(path)),
        *_searches(),
        *_aggregates(),
        *_lookups(),
        *_changes(),
        *_units(),
    ]


def _searches() -> Iterator[Entry]:
    for case, repo in {"all": None, **PLACES}.items():
        yield from _knowledge_searches(case, repo)
    for case, repo in PLACES.items():
        yield from _memory_searches(case, repo)


def _knowledge_searches(case: str, repo: str | None) -> Iterator[Entry]:
    condition = None if repo is None else where("repo").equals(repo)
    calls: dict[str, Call] = {
        "knowledge.vector_search": lambda unit, _: unit.knowledge.vector_search(
            NEAR, where=condition
        ),
        "knowledge.keyword_search": lambda unit, _: unit.knowledge.keyword_search(
            WORDS, where=condition
        ),
        "knowledge.hybrid_search": lambda unit, _: unit.knowledge.hybrid_search(
            WORDS, NEAR, where=condition
        ),
        "findings.keyword_search": lambda unit, _: unit.findings.keyword_search(WORDS, repo=repo),
        "corpora.search": lambda unit, _: unit.corpora.search(WORDS, NEAR, repo=repo),
    }
    for operation, call in calls.items():
        yield Entry(operation=operation, case=case, call=call)


def _memory_searches(case: str, repo: str) -> Iterator[Entry]:
    calls: dict[str, Call] = {
        "memories.nearest": lambda unit, _: unit.memories.nearest(NEAR, repo=repo),
        "memories.nearest_for_owner": lambda unit, _: unit.memories.nearest_for_owner(
            NEAR, owner=OWNER, exclude_repo=repo
        ),
        "memories.keyword_search": lambda unit, _: unit.memories.keyword_search(WORDS, repo=repo),
        "memories.hybrid_search": lambda unit, _: unit.memories.hybrid_search(
            WORDS, NEAR, repo=repo
        ),
        "memories.recall": lambda unit, _: unit.memories.recall(
            NEAR, WORDS, repo=repo, owner=OWNER
        ),
    }
    for operation, call in calls.items():
        yield Entry(operation=operation, case=case, call=call)


def _year_ago() -> datetime:
    return datetime.now(UTC) - timedelta(days=DAYS)


def _sums(case: str, repo: str) -> Iterator[Entry]:
    calls: dict[str, Call] = {
        "reviews.stats": lambda unit, _: unit.reviews.stats(repo, since=_year_ago()),
        "reviews.trends": lambda unit, _: unit.reviews.trends(repo, days=DAYS),
        "reactions.patterns": lambda unit, _: unit.reactions.patterns(repo),
        "telemetry.usage": lambda unit, _: unit.telemetry.usage(
            by=UsageBy.DAY, repo=repo, since=_year_ago()
        ),
    }
    for operation, call in calls.items():
        yield Entry(
            operation=operation, case=case, call=call, grows=SUM if case == "large" else None
        )


def _aggregates() -> Iterator[Entry]:
    for case, repo in PLACES.items():
        yield from _sums(case, repo)
    yield Entry(
        operation="reviews.stats",
        case="large, one week",
        grows="adds up the rows of a week",
        call=lambda unit, _: unit.reviews.stats(
            LARGE_REPO, since=datetime.now(UTC) - timedelta(days=7)
        ),
    )
    yield Entry(
        operation="reviews.trends",
        case="large, one week",
        grows="adds up the rows of a week",
        call=lambda unit, _: unit.reviews.trends(LARGE_REPO, days=7),
    )
    yield Entry(
        operation="knowledge.count",
        case="metadata",
        grows=SUM,
        call=lambda unit, _: unit.knowledge.count(where("metadata", "page").equals(7)),
    )
    yield Entry(
        operation="telemetry.usage",
        case="all repositories",
        grows=SUM,
        call=lambda unit, _: unit.telemetry.usage(by=UsageBy.MODEL, since=_year_ago()),
    )
    yield Entry(
        operation="telemetry.count_recent_timeouts",
        call=lambda unit, _: unit.telemetry.count_recent_timeouts(LARGE_REPO, "login1"),
        grows="counts the events of a week",
    )


def _lookups() -> Iterator[Entry]:
    lookup: dict[str, Call] = {
        "knowledge.find_by_chunk_id": lambda unit, _: unit.knowledge.find_by_chunk_id(
            "chunk30", repo=LARGE_REPO
        ),
        "findings.recent_comment_candidates": lambda unit, _: (
            unit.findings.recent_comment_candidates(LARGE_REPO)
        ),
        "findings.find_by_comment": lambda unit, _: unit.findings.find_by_comment(LARGE_REPO, 1001),
        "findings.prior": lambda unit, _: unit.findings.prior(LARGE_REPO, 500),
        "memories.exists_for": lambda unit, rows: unit.memories.exists_for(
            LARGE_REPO, rows["findings"][0], Outcome.ACCEPTED
        ),
        "patterns.lookup": lambda unit, _: unit.patterns.lookup(
            Severity.MAJOR, Category.SECURITY, ConfidenceBand.HIGH, "fingerprint1"
        ),
        "runs.find_by_key": lambda unit, _: unit.runs.find_by_key("run500"),
        "runs.last_reviewed_head": lambda unit, _: unit.runs.last_reviewed_head(LARGE_REPO, 500),
        "checkpoints.find_by_key": lambda unit, _: unit.checkpoints.find_by_key("output500"),
        "authors.find_author": lambda unit, _: unit.authors.find_author(LARGE_REPO, "login500"),
        "dependency_bumps.history": lambda unit, _: unit.dependency_bumps.history(
            LARGE_REPO, "popular"
        ),
        "embedding_metadata.get": lambda unit, _: unit.embedding_metadata.get(),
        "embedding_metadata.find": lambda unit, _: unit.embedding_metadata.find(),
        "embedding_metadata.check_compatible": lambda unit, _: (
            unit.embedding_metadata.check_compatible(provider="p", model="m", dimensions=DIMENSIONS)
        ),
    }
    for operation, call in lookup.items():
        yield Entry(operation=operation, call=call)


def _changes() -> Iterator[Entry]:
    async def complete(uow: Any, _: Rows) -> None:
        claimed = await _claim(uow, 9_000_001)
        await uow.runs.heartbeat(claimed.run_key, claimed.attempt)
        await uow.runs.complete(claimed.run_key, claimed.attempt)

    async def delete_large_review(uow: Any, rows: Rows) -> None:
        await uow.reviews.delete(rows["reviews"][2])

    bounded: dict[tuple[str, str], Call] = {
        ("knowledge.upsert_many", "replaced and new"): lambda uow, _: uow.knowledge.upsert_many(
            [samples.chunk(f"chunk{n}", f"word{n}", embedding=NEAR) for n in range(20)]
        ),
        ("knowledge.delete_chunks", ""): lambda uow, _: uow.knowledge.delete_chunks(
            (f"chunk{n}" for n in range(20, 40)), repo=LARGE_REPO
        ),
        ("knowledge.delete_where", "one source"): lambda uow, _: uow.knowledge.delete_where(
            where("repo").equals(LARGE_REPO) & where("source").equals("docs/page9")
        ),
        ("embedding_metadata.set", ""): lambda uow, _: uow.embedding_metadata.set(
            provider="p", model="m", dimensions=DIMENSIONS
        ),
        ("embedding_metadata.agree_on_embeddings", ""): lambda uow, _: (
            uow.embedding_metadata.agree_on_embeddings(
                provider="p", model="m", dimensions=DIMENSIONS
            )
        ),
        ("reviews.delete", "with its findings"): delete_large_review,
        ("findings.delete_of_review", ""): lambda uow, rows: uow.findings.delete_of_review(
            rows["reviews"][3]
        ),
        ("reactions.withdraw", ""): lambda uow, _: uow.reactions.withdraw(LARGE_REPO, 1001, 1001),
        ("reactions.clear", "small"): lambda uow, _: uow.reactions.clear(SMALL_REPO),
        ("memories.write", ""): lambda uow, _: uow.memories.write(samples.memory(embedding=NEAR)),
        ("memories.write_many", ""): lambda uow, _: uow.memories.write_many(
            [samples.memory(embedding=NEAR) for _ in range(20)]
        ),
        ("memories.mark_stale", "none"): lambda uow, _: uow.memories.mark_stale("model"),
        ("memories.mark_stale", "first 100"): lambda uow, _: uow.memories.mark_stale(
            "other", at_most=100
        ),
        ("memories.delete_stale", "none"): lambda uow, _: uow.memories.delete_stale(),
        ("patterns.record", ""): lambda uow, _: uow.patterns.record(samples.pattern()),
        ("runs.claim", ""): lambda uow, _: _claim(uow, 9_000_000),
        ("runs.heartbeat", "with claim and complete"): complete,
        ("runs.complete", "with claim and heartbeat"): complete,
        ("runs.purge", "nothing to delete"): lambda uow, _: uow.runs.purge(),
        ("checkpoints.save", ""): lambda uow, _: uow.checkpoints.save(
            samples.checkpoint("output500")
        ),
        ("checkpoints.set_comment", ""): lambda uow, _: uow.checkpoints.set_comment("output500", 1),
        ("checkpoints.delete_by_key", ""): lambda uow, _: uow.checkpoints.delete_by_key(
            "output500"
        ),
        ("authors.upsert", ""): lambda uow, _: uow.authors.upsert(samples.author("login500")),
        ("authors.purge", "nothing to delete"): lambda uow, _: uow.authors.purge(),
        ("dependency_bumps.record", ""): lambda uow, _: uow.dependency_bumps.record(
            samples.bump(repo=LARGE_REPO, pr_number=9_000_000)
        ),
        ("telemetry.record", ""): lambda uow, _: uow.telemetry.record(samples.event()),
        ("telemetry.record_many", ""): lambda uow, _: uow.telemetry.record_many(
            [samples.event() for _ in range(20)]
        ),
        ("telemetry.record_rate_limit", ""): lambda uow, _: uow.telemetry.record_rate_limit(
            samples.rate_limit(delivery_id="delivery500")
        ),
        ("telemetry.record_retrieval_quality", ""): lambda uow, _: (
            uow.telemetry.record_retrieval_quality(
                samples.retrieval_quality(delivery_id="delivery500")
            )
        ),
        ("telemetry.record_resilience", ""): lambda uow, _: uow.telemetry.record_resilience(
            samples.resilience("delivery500")
        ),
        ("telemetry.purge", "nothing to delete"): lambda uow, _: uow.telemetry.purge(
            older_than=timedelta(days=2 * DAYS)
        ),
    }
    for (operation, case), call in bounded.items():
        yield Entry(operation=operation, case=case, call=call, writes=True)
    yield Entry(
        operation="reactions.clear",
        case="large",
        call=lambda uow, _: uow.reactions.clear(LARGE_REPO),
        grows=MANY,
        writes=True,
    )
    yield Entry(
        operation="knowledge.reset",
        call=lambda uow, _: uow.knowledge.reset(),
        grows=MANY,
        writes=True,
    )


def _claim(uow: Any, pr_number: int) -> Awaitable[Any]:
    claim: Awaitable[Any] = uow.runs.claim(
        LARGE_REPO,
        pr_number,
        base_sha="base",
        head_sha="next",
        delivery_id="d",
        action="opened",
    )
    return claim


def _units() -> Iterator[Entry]:
    async def look_up(uow: Any, _: Rows) -> None:
        uow.repository(Review)
        uow.provide(ReviewReader)

    async def flush(uow: Any, _: Rows) -> None:
        uow.reviews.add(samples.review())
        await uow.flush()

    async def savepoint(uow: Any, rows: Rows) -> None:
        async with uow.savepoint():
            await flush(uow, rows)

    async def rollback(uow: Any, rows: Rows) -> None:
        await flush(uow, rows)
        await uow.rollback()

    async def commit(uow: Any, rows: Rows) -> None:
        await flush(uow, rows)
        await uow.commit()

    async def explaining(uow: Any, _: Rows) -> None:
        with uow.explaining():
            await uow.knowledge.vector_search(NEAR)

    calls: dict[str, Call] = {
        "provide": look_up,
        "repository": look_up,
        "flush": flush,
        "savepoint": savepoint,
        "rollback": rollback,
        "commit": commit,
    }
    for operation, call in calls.items():
        yield Entry(operation=operation, call=call, writes=True)
    yield Entry(operation="explaining", call=explaining)
