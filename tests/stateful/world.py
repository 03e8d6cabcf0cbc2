"""The library's entities in a random program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

from domain import (
    AuthorCacheEntry,
    AuthorTier,
    Category,
    CheckpointData,
    ConfidenceBand,
    DependencyBumpMerge,
    FeedbackReaction,
    Finding,
    GlobalPattern,
    KnowledgeChunk,
    LearningMemory,
    Outcome,
    RateLimitEvent,
    Reaction,
    ResilienceEvent,
    RetrievalQualityEvent,
    Review,
    ReviewCheckpoint,
    RunState,
    RunStatus,
    Severity,
    SuppressionLogEntry,
    TelemetryEvent,
)
from domain.values.claims import run_key
from repositories.testing.stateful.world import World
from tests.contract.suites import samples
from tests.stateful import texts
from tests.stateful.kinds import KIND_OF
from tests.stateful.texts import LOGINS, MODELS, OWNERS, REPOS, VECTORS

if TYPE_CHECKING:
    from uuid import UUID

    from domain import ReadRepository, Repository
    from domain.schema.base import Entity

E = TypeVar("E", bound="Entity")

FREE: Final = {Review, Finding, SuppressionLogEntry, TelemetryEvent}
"""Entities that rarely break a rule: they are unique by their id only."""


class LibraryWorld(World):
    """The entities that the current unit of work can expect, and makers of all kinds."""

    def __init__(self) -> None:
        super().__init__({})

    @property
    def kinds(self) -> Sequence[type[Any]]:
        return tuple(KIND_OF)

    @property
    def addable(self) -> Sequence[type[Any]]:
        return [entity for entity, kind in KIND_OF.items() if kind.is_written_by_add]

    @property
    def deletable(self) -> Sequence[type[Any]]:
        return [entity for entity, kind in KIND_OF.items() if kind.is_deletable]

    def reader(self, unit: Any, kind: type[Any]) -> ReadRepository[Any]:
        return KIND_OF[kind].read(unit)

    def writer(self, unit: Any, kind: type[Any]) -> Repository[Any]:
        return KIND_OF[kind].writer(unit)

    def final_reads(self, unit: Any) -> Sequence[Callable[[], Any]]:
        return [unit.embedding_metadata.find]

    def may_repeat(self, kind: type[Any]) -> bool:
        return kind is not TelemetryEvent

    def has_rules(self, kind: type[Any]) -> bool:
        return kind not in FREE

    @cached_property
    def invalid_values(self) -> Mapping[type[Any], Sequence[dict[str, Any]]]:
        return INVALID

    def new_entity(self, kind: type[E], key: UUID) -> E:
        make = getattr(self, f"_{kind.__tablename__}", None)
        if make is None:
            raise LookupError(
                f"tests/stateful/world.py makes no {kind.__name__}: write the method"
                f" `_{kind.__tablename__}` of LibraryWorld"
            )
        entity: E = make(id=key)
        return entity

    def _reviews(self, **values: Any) -> Review:
        pick = self.choices.pick
        fields = {
            "repo": pick(REPOS),
            "pr_number": 1 + self.choices.below(3),
            "head_sha": self.choices.maybe(texts.HEADS),
        }
        counted = {
            "findings_total": self.choices.below(4),
            "config_snapshot": self.choices.maybe(texts.JSON),
        }
        return samples.review(**{**fields, **counted, "created_at": self.moment(), **values})

    def _findings(self, **values: Any) -> Finding:
        pick, maybe = self.choices.pick, self.choices.maybe
        review, is_lost = self.existing(Review), self.choices.one_in(24)
        self.is_risky |= is_lost
        parent = self.new_id() if is_lost else review.id
        line = self.choices.below(5)
        fields = {
            "review_id": parent,
            "title": pick(texts.TITLES),
            "file_path": pick(texts.PATHS),
        }
        comment = {
            "comment_id": maybe((1, 2, 2**40)),
            "comment_surface": maybe(("inline",)),
            "review_output_key": maybe(("output",)),
        }
        lines = {"start_line": line, "end_line": line + 2} if line else {}
        graded = {"severity": pick(tuple(Severity)), "category": pick(tuple(Category))}
        more = {
            "confidence": self.choices.below(101),
            "suppressed": self.choices.one_in(3),
            "created_at": self.moment(),
        }
        return samples.finding(review, **{**fields, **comment, **lines, **more, **graded, **values})

    def _suppression_log(self, **values: Any) -> SuppressionLogEntry:
        suppressed = tuple(self.choices.several(lambda: self.id_of(Finding)))
        return samples.suppression(
            self.existing(Review),
            finding_ids=suppressed,
            matched_count=self.choices.below(4),
            **values,
        )

    def _feedback_reactions(self, **values: Any) -> FeedbackReaction:
        pick = self.choices.pick
        to = self.existing(Finding)
        fields = {
            "comment_id": 1 + self.choices.below(2),
            "reaction_id": 1 + self.choices.below(3),
            "reactor_login": pick(LOGINS),
        }
        return samples.reaction(
            to, pick(tuple(Reaction)), **{**fields, "created_at": self.moment(), **values}
        )

    def _knowledge(self, **values: Any) -> KnowledgeChunk:
        pick, maybe = self.choices.pick, self.choices.maybe
        fields = {
            "repo": pick(("", *REPOS)),
            "embedding": maybe(VECTORS),
            "embedding_model": maybe(MODELS),
        }
        kind = {
            "source_type": pick(("doc", "code", "test")),
            "language": maybe(("python", "go")),
            "title": maybe(texts.TITLES),
        }
        more = {
            "summary": maybe(texts.SUMMARIES),
            "metadata_": pick(texts.JSON),
            "token_count": self.choices.below(4),
        }
        content, stale = pick(texts.CONTENTS), self.choices.one_in(4)
        return samples.chunk(
            f"chunk-{self.choices.below(6)}",
            content,
            **{**fields, **kind, **more, "stale": stale, **values},
        )

    def _learning_memories(self, **values: Any) -> LearningMemory:
        pick, maybe = self.choices.pick, self.choices.maybe
        finding = self.existing(Finding).id if self.choices.one_in(3) else None
        fields = {
            "repo": pick(texts.SHARED),
            "owner": pick(OWNERS),
            "finding_id": finding,
            "outcome": pick(tuple(Outcome)),
        }
        more = {
            "embedding": maybe(VECTORS),
            "embedding_model": pick(MODELS),
            "stale": self.choices.one_in(4),
        }
        return samples.memory(
            pick(texts.CONTENTS),
            **{**fields, **more, "language": maybe(("Python", "go")), **values},
        )

    def _global_patterns(self, **values: Any) -> GlobalPattern:
        kind = {
            "severity": self.choices.pick(tuple(Severity)),
            "confidence_band": self.choices.pick(tuple(ConfidenceBand)),
        }
        return samples.pattern(
            f"print-{self.choices.below(3)}",
            **{**kind, "count": 1 + self.choices.below(3), **values},
        )

    def _run_state(self, **values: Any) -> RunState:
        pick = self.choices.pick
        repo, number, head = pick(REPOS), 1 + self.choices.below(3), pick(texts.HEADS)
        status, claimed = pick(tuple(RunStatus)), self.moment()
        done = {"completed_at": claimed} if status is RunStatus.COMPLETED else {}
        names = {
            "repo": repo,
            "pr_number": number,
            "head_sha": head,
            "run_key": run_key(repo, number, "base", head),
        }
        return samples.run(**{**names, **done, "status": status, "claimed_at": claimed, **values})

    def _review_checkpoints(self, **values: Any) -> ReviewCheckpoint:
        data = CheckpointData(
            files_reviewed=tuple(self.choices.several(lambda: self.choices.pick(texts.PATHS)))
        )
        fields = {"checkpoint_data": data, "partial_comment_id": self.choices.maybe((1, -(2**60)))}
        return samples.checkpoint(f"output-{self.choices.below(4)}", **{**fields, **values})

    def _author_cache(self, **values: Any) -> AuthorCacheEntry:
        fields = {
            "repo": self.choices.pick(REPOS),
            "tier": self.choices.pick(tuple(AuthorTier)),
            "cached_at": self.moment(),
        }
        return samples.author(
            self.choices.pick(LOGINS),
            **{**fields, "pr_count": self.choices.maybe((0, 7)), **values},
        )

    def _dep_bump_merge_history(self, **values: Any) -> DependencyBumpMerge:
        package, merged = self.choices.maybe(texts.PACKAGES), self.moment()
        fields = {
            "repo": self.choices.pick(REPOS),
            "pr_number": 1 + self.choices.below(8),
            "package_name": package,
        }
        return samples.bump(
            **{**fields, "merged_at": merged, "signals": self.choices.maybe(texts.JSON), **values}
        )

    def _telemetry_events(self, **values: Any) -> TelemetryEvent:
        pick, below = self.choices.pick, self.choices.below
        fields = {
            "repo": pick(REPOS),
            "model": pick(MODELS),
            "event_type": pick(("review", "mention")),
            "created_at": self.moment(),
        }
        ended = {
            "conclusion": pick(("success", "timeout", "timeout_partial")),
            "pr_author": self.choices.maybe(LOGINS),
        }
        figures = {
            "input_tokens": below(3) * 2**40,
            "output_tokens": below(100),
            "cost_usd": pick(texts.COSTS),
        }
        return samples.event(**{**fields, **ended, **figures, "duration_ms": below(5), **values})

    def _rate_limit_events(self, **values: Any) -> RateLimitEvent:
        fields = {
            "delivery_id": self.choices.maybe(texts.DELIVERIES),
            "event_type": self.choices.pick(("review", "mention")),
        }
        return samples.rate_limit(
            **{
                **fields,
                "created_at": self.moment(),
                "cache_hit_rate": self.choices.below(8) / 7,
                **values,
            }
        )

    def _retrieval_quality_events(self, **values: Any) -> RetrievalQualityEvent:
        fields = {
            "delivery_id": self.choices.maybe(texts.DELIVERIES),
            "avg_distance": self.choices.maybe((0.1, -1e300)),
        }
        return samples.retrieval_quality(**{**fields, "created_at": self.moment(), **values})

    def _resilience_events(self, **values: Any) -> ResilienceEvent:
        reasons = tuple(self.choices.several(lambda: self.choices.pick(texts.SUMMARIES)))
        fields = {
            "timeout_classification_reasons": reasons,
            "retry_enqueued": self.choices.maybe((False, True)),
        }
        return samples.resilience(
            self.choices.pick(texts.DELIVERIES), **{**fields, "created_at": self.moment(), **values}
        )


INVALID: Final[Mapping[type[Any], Sequence[dict[str, Any]]]] = {
    Review: ({"pr_number": 0}, {"repo": None}, {"files_analyzed": -1}, {"pr_number": 2**31}),
    Finding: (
        {"confidence": 101},
        {"title": None},
        {"start_line": 9, "end_line": 2},
        {"comment_id": 2**63},
    ),
    FeedbackReaction: ({"severity": None}, {"reactor_login": None}),
    KnowledgeChunk: ({"content": None}, {"token_count": -1}, {"source": None}),
    LearningMemory: ({"finding_text": None}, {"embedding_dim": 16_001}),
    RunState: ({"head_sha": None}, {"pr_number": 0}),
    AuthorCacheEntry: ({"pr_count": -1}, {"tier": None}),
    TelemetryEvent: ({"input_tokens": -1}, {"model": None}),
}
"""Values that an entity refuses and that a row must not have."""
