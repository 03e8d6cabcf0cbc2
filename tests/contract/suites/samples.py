"""One valid entity of each kind, with the fields that a test passes.

And vectors of the store's own dimension.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from domain import (
    AuthorCacheEntry,
    AuthorTier,
    BumpSource,
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
    ResilienceKind,
    RetrievalQualityEvent,
    Review,
    ReviewCheckpoint,
    RunState,
    Severity,
    SuppressionLogEntry,
    TelemetryEvent,
    Vector,
)

if TYPE_CHECKING:
    from tests.contract.suites.store import Store

REPO: Final = "acme/api"
OWNER: Final = "acme"
MOMENT: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
MANY: Final = 1_003
"""More rows than an adapter is likely to write at a time."""

MORE_DIGITS_THAN_PYTHON_WRITES: Final = 10**5_000
"""Even a message that names this number fails."""

UNICODE: Final = (
    "Ünïcødé 未处理的异常 Утечка 👩\u200d👩 \u202e\u05e2\u05d1\u202c e\u0301 ﬁ "
    "\x01\n\t'\"\\%_$1 {}[]"
)
"""Scripts, combining characters, direction marks, and characters that SQL and JSON quote."""

_numbers = count(1)


class Masked(str):
    """Text that shows itself as stars, as members of an Enum of texts show their names."""

    __slots__ = ()

    def __str__(self) -> str:
        return "***"

    __repr__ = __str__


def number() -> int:
    """Return a number that no sample had before."""
    return next(_numbers)


def review(**values: Any) -> Review:
    """Return a review of one pull request."""
    return Review(**{"repo": REPO, "pr_number": 7, **values})


def finding(of: Review, **values: Any) -> Finding:
    """Return a finding of that review."""
    fields = {
        "review_id": of.id,
        "repo": of.repo,
        "file_path": "api.py",
        "title": "Retries never end",
        "confidence": 90,
    }
    return Finding(
        **{**fields, "severity": Severity.MAJOR, "category": Category.CORRECTNESS, **values}
    )


def suppression(of: Review, **values: Any) -> SuppressionLogEntry:
    """Return a suppression that the review applied."""
    return SuppressionLogEntry(
        **{"review_id": of.id, "pattern": "TODO*", "matched_count": 1, **values}
    )


def reaction(
    to: Finding, content: Reaction = Reaction.THUMBS_DOWN, **values: Any
) -> FeedbackReaction:
    """Return a new reaction to the finding's comment, or to a new comment if it has none."""
    copied = {
        name: getattr(to, name)
        for name in ("repo", "review_id", "severity", "category", "file_path", "title")
    }
    fields = {
        "finding_id": to.id,
        "comment_id": to.comment_id or to.id.int % 2**62,
        "comment_surface": "inline",
        "reaction_id": number(),
        "reactor_login": "ada",
    }
    return FeedbackReaction(**{**copied, **fields, "reaction_content": content, **values})


def chunk(name: str = "", content: str = "A passage.", **values: Any) -> KnowledgeChunk:
    """Return a chunk with that name, or a new one."""
    fields = {
        "chunk_id": name or f"chunk-{number()}",
        "source": "docs/page.md",
        "source_type": "doc",
        "content": content,
    }
    return KnowledgeChunk(**{**fields, **values})


def memory(text: str = "A finding.", **values: Any) -> LearningMemory:
    """Return a memory that came from no finding, and therefore is always new."""
    fields = {
        "repo": REPO,
        "owner": OWNER,
        "source_repo": REPO,
        "finding_text": text,
        "file_path": "api.py",
    }
    graded = {
        "severity": Severity.MAJOR,
        "category": Category.CORRECTNESS,
        "outcome": Outcome.ACCEPTED,
    }
    return LearningMemory(**{**fields, **graded, "embedding_model": "model", **values})


def pattern(fingerprint: str = "", **values: Any) -> GlobalPattern:
    """Return a pattern seen once."""
    kind = {
        "severity": Severity.MAJOR,
        "category": Category.CORRECTNESS,
        "confidence_band": ConfidenceBand.HIGH,
    }
    return GlobalPattern(
        **{
            **kind,
            "pattern_fingerprint": fingerprint or f"pattern-{number()}",
            "count": 1,
            **values,
        }
    )


def run(**values: Any) -> RunState:
    """Return a pending run of a pull request of its own, claimed now."""
    pr_number = number()
    names = {
        "run_key": f"run-{pr_number}",
        "base_sha": "base",
        "head_sha": "head",
        "delivery_id": "d",
        "action": "opened",
    }
    return RunState(**{"repo": REPO, "pr_number": pr_number, **names, **values})


def checkpoint(key: str = "", **values: Any) -> ReviewCheckpoint:
    """Return a checkpoint with that key, or a new one."""
    data = CheckpointData(
        files_reviewed=("a.py",), finding_count=1, summary_draft="…", total_files=3
    )
    fields = {
        "review_output_key": key or f"output-{number()}",
        "repo": REPO,
        "pr_number": 7,
        "checkpoint_data": data,
    }
    return ReviewCheckpoint(**{**fields, **values})


def author(login: str = "", **values: Any) -> AuthorCacheEntry:
    """Return what is known of that author, or of a new one."""
    fields = {
        "repo": REPO,
        "author_login": login or f"author-{number()}",
        "tier": AuthorTier.REGULAR,
    }
    return AuthorCacheEntry(**{**fields, "author_association": "CONTRIBUTOR", **values})


def bump(**values: Any) -> DependencyBumpMerge:
    """Return a bump of one package by a pull request of its own."""
    fields = {
        "repo": REPO,
        "pr_number": number(),
        "source": BumpSource.DEPENDABOT,
        "package_name": "left-pad",
    }
    return DependencyBumpMerge(**{**fields, **values})


def event(**values: Any) -> TelemetryEvent:
    """Return one run of a model."""
    return TelemetryEvent(
        **{
            "repo": REPO,
            "event_type": "review",
            "model": "model",
            "conclusion": "success",
            **values,
        }
    )


def rate_limit(**values: Any) -> RateLimitEvent:
    """Return how a run coped with the rate limit; without a delivery it is always new."""
    fields = {
        "repo": REPO,
        "event_type": "review",
        "cache_hit_rate": 0.5,
        "skipped_queries": 0,
        "retry_attempts": 1,
    }
    return RateLimitEvent(**{**fields, "degradation_path": "none", "created_at": MOMENT, **values})


def retrieval_quality(**values: Any) -> RetrievalQualityEvent:
    """Return how good a retrieval was; without a delivery it is always new."""
    fields = {"repo": REPO, "event_type": "review", "result_count": 5, "created_at": MOMENT}
    return RetrievalQualityEvent(**{**fields, **values})


def resilience(delivery: str = "", **values: Any) -> ResilienceEvent:
    """Return a timeout of that delivery, or of a new one."""
    fields = {
        "delivery_id": delivery or f"delivery-{number()}",
        "repo": REPO,
        "event_type": "review",
    }
    return ResilienceEvent(
        **{**fields, "kind": ResilienceKind.TIMEOUT, "created_at": MOMENT, **values}
    )


async def vectors_of(store: Store) -> Callable[..., Vector]:
    """Return what makes a vector of the store's dimension of its first components.

    The others are zero.
    """
    async with store.reader() as view:
        dimensions = (await view.embedding_metadata.get()).dimensions

    def vector(*components: float) -> Vector:
        return Vector([*components, *[0.0] * (dimensions - len(components))])

    return vector
