"""One call of every operation, with what it needs to have been written before.

For tests that hold all operations to one rule.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from domain import (
    ConfidenceBand,
    EmbeddingRepair,
    Outcome,
    RepairedEmbedding,
    Review,
    ReviewReader,
    RunStatus,
    UnitOfWork,
    UsageBy,
    Vector,
    Where,
    where,
)
from tests.conftest import DIMENSIONS
from tests.contract.suites import samples
from tests.contract.suites.kinds import KINDS, write
from tests.contract.suites.samples import MOMENT, OWNER, REPO

if TYPE_CHECKING:
    from tests.contract.suites import Store

NEAR = Vector([1.0] * DIMENSIONS)
ANYTHING: Where = where("id")


@dataclass
class TenantData:
    """A number of rows of each kind for one tenant, with related rows among them."""

    rows: int
    review: Any = field(default_factory=samples.review)
    finding: Any = None
    pending: Any = None
    entities: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.finding = samples.finding(self.review, comment_id=1)
        self.pending = samples.run(run_key="pending", pr_number=7)
        comment = {"comment_id": 1, "comment_surface": "inline", "review_output_key": "out"}
        self.entities = {
            "reviews": self.many(samples.review, head_sha="head", created_at=MOMENT),
            "findings": self.many(samples.finding, self.review, **comment),
            "suppressions": self.many(samples.suppression, self.review),
            "reactions": self.many(samples.reaction, self.finding),
            "knowledge": [
                samples.chunk(f"{n}", "deadline", embedding=NEAR) for n in range(self.rows)
            ],
            "memories": [
                samples.memory("deadline", embedding=NEAR, finding_id=self.review.id),
                *self.many(samples.memory, "deadline", embedding=NEAR)[1:],
                *self.many(samples.memory, "deadline", repo="acme/web", stale=True),
            ],
            "runs": [
                samples.run(pr_number=7, status=RunStatus.COMPLETED, completed_at=MOMENT),
                *self.many(samples.run, status=RunStatus.COMPLETED, completed_at=MOMENT)[1:],
            ],
            "checkpoints": [samples.checkpoint("out"), *self.many(samples.checkpoint)[1:]],
            "authors": [samples.author("ada"), *self.many(samples.author, cached_at=MOMENT)[1:]],
            "dependency_bumps": [samples.bump(pr_number=7), *self.many(samples.bump)[1:]],
            "telemetry": self.many(
                samples.event, created_at=MOMENT, pr_author="ada", conclusion="timeout"
            ),
            "telemetry.rate_limits": [
                samples.rate_limit(delivery_id="d"),
                *self.many(samples.rate_limit)[1:],
            ],
            "telemetry.retrieval_quality": [
                samples.retrieval_quality(delivery_id="d"),
                *self.many(samples.retrieval_quality)[1:],
            ],
            "telemetry.resilience": [samples.resilience("d"), *self.many(samples.resilience)[1:]],
        }
        missing = {kind.path for kind in KINDS if kind.is_of_tenant} - self.entities.keys()
        if missing:
            raise LookupError(
                f"these repositories have no rows: {sorted(missing)}; add them to TenantData, and"
                " their lines to NEW_ENTITIES, in tests/contract/calls.py"
            )

    def many(self, make: Callable[..., Any], *args: Any, **values: Any) -> list[Any]:
        return [make(*args, **values) for _ in range(self.rows)]

    @property
    def ids(self) -> dict[str, list[Any]]:
        return {
            "patterns": [],
            **{path: [one.id for one in entities] for path, entities in self.entities.items()},
        }


async def write_copies(store: Store, tenant: str, data: TenantData) -> None:
    """Write copies of the rows, so that several tenants can have the same."""
    copies = {
        path: [one.model_copy() for one in entities] for path, entities in data.entities.items()
    }
    async with store.unit_of_work(tenant=tenant) as uow:
        uow.reviews.add(data.review.model_copy())
        uow.findings.add(data.finding.model_copy())
        uow.runs.add(data.pending.model_copy())
        await uow.flush()
        for path in NEW_ENTITIES:
            await getattr(uow, path).add_many(copies.get(path, []))
        await uow.commit()
    await write(
        store,
        *(one for path in copies if path.startswith("telemetry.") for one in copies[path]),
        tenant=tenant,
    )


async def fill(store: Store, tenant: str, rows: int) -> TenantData:
    """Write so many rows of each kind, and return them."""
    data = TenantData(rows)
    await write_copies(store, tenant, data)
    return data


Call = Callable[[UnitOfWork, TenantData], Awaitable[Any]]


async def all_of(stream: Any) -> list[Any]:
    return [one async for one in stream]


def reads(path: str) -> dict[str, tuple[int, Call]]:
    """Return what every repository reads with."""

    def of(uow: UnitOfWork) -> Any:
        part: Any = uow
        for name in path.split("."):
            part = getattr(part, name)
        return part

    def some(data: TenantData) -> Any:
        return (data.ids[path] or [data.review.id])[0]

    return {
        f"{path}.get": (
            1,
            lambda uow, data: (
                of(uow).get(some(data)) if data.ids[path] else of(uow).find(some(data))
            ),
        ),
        f"{path}.find": (1, lambda uow, data: of(uow).find(some(data))),
        f"{path}.get_many": (
            1,
            lambda uow, data: of(uow).get_many(data.ids[path] or [some(data)]),
        ),
        f"{path}.exists": (1, lambda uow, _: of(uow).exists(ANYTHING.exists())),
        f"{path}.count": (1, lambda uow, _: of(uow).count(ANYTHING.exists())),
        f"{path}.list": (1, lambda uow, _: of(uow).list()),
        f"{path}.page": (1, lambda uow, data: of(uow).page(limit=data.rows)),
        f"{path}.stream": (1, lambda uow, _: all_of(of(uow).stream(batch_size=7))),
    }


NEW_ENTITIES: Mapping[str, Callable[[TenantData], Any]] = {
    "knowledge": lambda _: samples.chunk(),
    "reviews": lambda _: samples.review(),
    "findings": lambda data: samples.finding(data.review),
    "suppressions": lambda data: samples.suppression(data.review),
    "reactions": lambda data: samples.reaction(data.finding),
    "memories": lambda _: samples.memory(),
    "patterns": lambda _: samples.pattern(),
    "runs": lambda _: samples.run(),
    "checkpoints": lambda _: samples.checkpoint(),
    "authors": lambda _: samples.author(),
    "dependency_bumps": lambda _: samples.bump(),
    "telemetry": lambda _: samples.event(),
}
"""How to make an entity that refers to stored ones, by repository, parents first."""


def writes(path: str) -> dict[str, tuple[int, Call]]:
    """Return what every repository writes with."""

    async def add(uow: UnitOfWork, data: TenantData) -> None:
        for _ in range(data.rows):
            getattr(uow, path).add(NEW_ENTITIES[path](data))
        await uow.flush()

    async def add_many(uow: UnitOfWork, data: TenantData) -> None:
        await getattr(uow, path).add_many([NEW_ENTITIES[path](data) for _ in range(data.rows)])

    adding: dict[str, tuple[int, Call]] = {
        f"{path}.add": (1, add),
        f"{path}.add_many": (1, add_many),
    }
    if path == "patterns":
        return adding

    def delete(uow: UnitOfWork, data: TenantData) -> Awaitable[bool]:
        deleted: Awaitable[bool] = getattr(uow, path).delete(data.ids[path][0])
        return deleted

    return {**adding, f"{path}.delete": (1, delete)}


def repairs(path: str) -> dict[str, tuple[int, Call]]:
    """Return what embeds rows again."""
    state = EmbeddingRepair(corpus=path, key="job", target_model="new")

    def repaired(data: TenantData) -> list[RepairedEmbedding]:
        return [RepairedEmbedding(id=key, embedding=NEAR) for key in data.ids[path]]

    return {
        f"{path}.count_repair_candidates": (
            1,
            lambda uow, _: getattr(uow, path).count_repair_candidates("new"),
        ),
        f"{path}.repair_candidates": (
            1,
            lambda uow, _: getattr(uow, path).repair_candidates("new"),
        ),
        f"{path}.write_repaired": (
            2,
            lambda uow, data: getattr(uow, path).write_repaired(repaired(data), state.model_copy()),
        ),
        f"{path}.repair_state": (1, lambda uow, _: getattr(uow, path).repair_state("job")),
        f"{path}.save_repair_state": (
            1,
            lambda uow, _: getattr(uow, path).save_repair_state(state.model_copy()),
        ),
    }


async def change_and(uow: UnitOfWork, data: TenantData, end: str) -> None:
    for _ in range(data.rows):
        uow.reviews.add(samples.review())
    await getattr(uow, end)()


async def inside_a_savepoint(uow: UnitOfWork, data: TenantData) -> None:
    async with uow.savepoint():
        await change_and(uow, data, "flush")


async def while_explaining(uow: UnitOfWork, _: TenantData) -> None:
    with uow.explaining():
        await uow.knowledge.keyword_search("deadline")


async def look_up(uow: UnitOfWork, _: TenantData) -> None:
    assert uow.repository(Review) is not None
    assert uow.provide(ReviewReader) is not None


def claim(uow: UnitOfWork, _: TenantData) -> Awaitable[Any]:
    return uow.runs.claim(
        REPO, 7, base_sha="base", head_sha="next", delivery_id="d", action="opened"
    )


OWN: dict[str, tuple[int, Call]] = {
    "provide": (0, look_up),
    "repository": (0, look_up),
    "flush": (1, lambda uow, data: change_and(uow, data, "flush")),
    "commit": (1, lambda uow, data: change_and(uow, data, "commit")),
    "rollback": (0, lambda uow, data: change_and(uow, data, "rollback")),
    "savepoint": (3, inside_a_savepoint),
    # The search, the search again for its plan, and what its advice needs to know.
    "explaining": (3, while_explaining),
    "knowledge.find_by_chunk_id": (1, lambda uow, _: uow.knowledge.find_by_chunk_id("0")),
    "knowledge.vector_search": (
        1,
        lambda uow, data: uow.knowledge.vector_search(NEAR, limit=data.rows),
    ),
    "knowledge.keyword_search": (
        1,
        lambda uow, _: uow.knowledge.keyword_search("deadline", explain=True),
    ),
    "knowledge.hybrid_search": (
        1,
        lambda uow, data: uow.knowledge.hybrid_search("deadline", NEAR, limit=data.rows),
    ),
    "knowledge.upsert_many": (
        1,
        lambda uow, data: uow.knowledge.upsert_many(
            [samples.chunk(f"{n}") for n in range(data.rows)]
        ),
    ),
    "knowledge.delete_where": (
        1,
        lambda uow, _: uow.knowledge.delete_where(where("content").equals("deadline")),
    ),
    "knowledge.delete_chunks": (
        1,
        lambda uow, data: uow.knowledge.delete_chunks(f"{n}" for n in range(data.rows)),
    ),
    "knowledge.reset": (1, lambda uow, _: uow.knowledge.reset()),
    "embedding_metadata.get": (1, lambda uow, _: uow.embedding_metadata.get()),
    "embedding_metadata.find": (1, lambda uow, _: uow.embedding_metadata.find()),
    "embedding_metadata.check_compatible": (
        1,
        lambda uow, _: uow.embedding_metadata.check_compatible(
            provider="unspecified", model="unspecified", dimensions=DIMENSIONS
        ),
    ),
    "embedding_metadata.agree_on_embeddings": (
        3,
        lambda uow, _: uow.embedding_metadata.agree_on_embeddings(
            provider="p", model="m", dimensions=DIMENSIONS
        ),
    ),
    "embedding_metadata.set": (
        2,
        lambda uow, _: uow.embedding_metadata.set(provider="p", model="m", dimensions=DIMENSIONS),
    ),
    "reviews.stats": (1, lambda uow, _: uow.reviews.stats(REPO)),
    "reviews.trends": (1, lambda uow, data: uow.reviews.trends(REPO, days=data.rows)),
    "findings.recent_comment_candidates": (
        1,
        lambda uow, _: uow.findings.recent_comment_candidates(REPO),
    ),
    "findings.find_by_comment": (1, lambda uow, _: uow.findings.find_by_comment(REPO, 1)),
    "findings.delete_of_review": (
        1,
        lambda uow, data: uow.findings.delete_of_review(data.review.id),
    ),
    "findings.prior": (1, lambda uow, _: uow.findings.prior(REPO, 7)),
    "findings.keyword_search": (1, lambda uow, _: uow.findings.keyword_search("retries")),
    "reactions.patterns": (1, lambda uow, _: uow.reactions.patterns(REPO)),
    "reactions.withdraw": (1, lambda uow, _: uow.reactions.withdraw(REPO, 1, 1)),
    "reactions.clear": (1, lambda uow, _: uow.reactions.clear(REPO)),
    "memories.exists_for": (
        1,
        lambda uow, data: uow.memories.exists_for(REPO, data.review.id, Outcome.ACCEPTED),
    ),
    "memories.nearest": (
        1,
        lambda uow, data: uow.memories.nearest(NEAR, repo=REPO, limit=data.rows),
    ),
    "memories.nearest_for_owner": (
        1,
        lambda uow, _: uow.memories.nearest_for_owner(NEAR, owner=OWNER, exclude_repo=""),
    ),
    "memories.keyword_search": (
        1,
        lambda uow, _: uow.memories.keyword_search("deadline", repo=REPO),
    ),
    "memories.hybrid_search": (
        1,
        lambda uow, _: uow.memories.hybrid_search("deadline", NEAR, repo=REPO),
    ),
    "memories.recall": (
        2,
        lambda uow, _: uow.memories.recall(NEAR, "deadline", repo=REPO, owner=OWNER),
    ),
    "memories.write": (
        1,
        lambda uow, data: uow.memories.write(samples.memory(finding_id=data.review.id)),
    ),
    "memories.write_many": (
        1,
        lambda uow, data: uow.memories.write_many(data.many(samples.memory)),
    ),
    "memories.mark_stale": (1, lambda uow, _: uow.memories.mark_stale("new")),
    "memories.delete_stale": (1, lambda uow, _: uow.memories.delete_stale()),
    "patterns.lookup": (
        1,
        lambda uow, data: uow.patterns.lookup(
            data.finding.severity, data.finding.category, ConfidenceBand.LOW, "f"
        ),
    ),
    "patterns.record": (1, lambda uow, _: uow.patterns.record(samples.pattern())),
    "runs.find_by_key": (1, lambda uow, _: uow.runs.find_by_key("pending")),
    "runs.last_reviewed_head": (1, lambda uow, _: uow.runs.last_reviewed_head(REPO, 7)),
    "runs.claim": (4, claim),
    "runs.complete": (1, lambda uow, data: uow.runs.complete("pending", data.pending.attempt)),
    "runs.heartbeat": (1, lambda uow, data: uow.runs.heartbeat("pending", data.pending.attempt)),
    "runs.purge": (1, lambda uow, _: uow.runs.purge()),
    "checkpoints.find_by_key": (1, lambda uow, _: uow.checkpoints.find_by_key("out")),
    "checkpoints.save": (1, lambda uow, _: uow.checkpoints.save(samples.checkpoint("out"))),
    "checkpoints.set_comment": (1, lambda uow, _: uow.checkpoints.set_comment("out", 1)),
    "checkpoints.delete_by_key": (1, lambda uow, _: uow.checkpoints.delete_by_key("out")),
    "authors.find_author": (1, lambda uow, _: uow.authors.find_author(REPO, "ada")),
    "authors.upsert": (1, lambda uow, _: uow.authors.upsert(samples.author("ada"))),
    "authors.purge": (1, lambda uow, _: uow.authors.purge()),
    "dependency_bumps.history": (1, lambda uow, _: uow.dependency_bumps.history(REPO, "left-pad")),
    "dependency_bumps.record": (
        1,
        lambda uow, _: uow.dependency_bumps.record(samples.bump(pr_number=7)),
    ),
    "telemetry.count_recent_timeouts": (
        1,
        lambda uow, _: uow.telemetry.count_recent_timeouts(REPO, "ada", days=36_500),
    ),
    "telemetry.usage": (1, lambda uow, _: uow.telemetry.usage(by=UsageBy.DAY)),
    "telemetry.record": (1, lambda uow, _: uow.telemetry.record(samples.event())),
    "telemetry.record_many": (
        1,
        lambda uow, data: uow.telemetry.record_many(data.many(samples.event)),
    ),
    "telemetry.record_rate_limit": (
        1,
        lambda uow, _: uow.telemetry.record_rate_limit(samples.rate_limit(delivery_id="d")),
    ),
    "telemetry.record_retrieval_quality": (
        1,
        lambda uow, _: uow.telemetry.record_retrieval_quality(
            samples.retrieval_quality(delivery_id="d")
        ),
    ),
    "telemetry.record_resilience": (
        1,
        lambda uow, _: uow.telemetry.record_resilience(samples.resilience("d")),
    ),
    # One for each of the four tables.
    "corpora.search": (4, lambda uow, data: uow.corpora.search("deadline", NEAR, repo=REPO)),
    "telemetry.purge": (4, lambda uow, _: uow.telemetry.purge(older_than=timedelta(days=1))),
}

OPERATIONS: dict[str, tuple[int, Call]] = {
    **{name: call for kind in KINDS for name, call in reads(kind.path).items()},
    **{name: call for path in NEW_ENTITIES for name, call in writes(path).items()},
    **{name: call for path in ("knowledge", "memories") for name, call in repairs(path).items()},
    **OWN,
}
