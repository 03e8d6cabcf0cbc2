"""Factories of runs and checkpoints."""

from __future__ import annotations

from typing import Any

from factory import fuzzy
from factory.declarations import LazyAttribute, LazyAttributeSequence, LazyFunction, Sequence
from factory.faker import Faker

from domain.entities.runs import CheckpointData, ReviewCheckpoint, RunState
from domain.values.claims import run_key
from repositories.testing.factories.base import EntityFactory, new_id
from repositories.testing.factories.texts import ISSUES, REPOS


class RunStateFactory(EntityFactory[RunState]):
    """A pending run; each pull request has one."""

    id: Any = LazyFunction(new_id)
    attempt: Any = LazyFunction(new_id)
    run_key: Any = LazyAttribute(
        lambda run: run_key(run.repo, run.pr_number, run.base_sha, run.head_sha)
    )
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    base_sha: Any = Faker("sha1")
    head_sha: Any = Faker("sha1")
    delivery_id: Any = Faker("uuid4")
    action: Any = "opened"


class ReviewCheckpointFactory(EntityFactory[ReviewCheckpoint]):
    """A review that came half-way."""

    id: Any = LazyFunction(new_id)
    review_output_key: Any = LazyAttributeSequence(
        lambda checkpoint, n: f"{checkpoint.repo}#{checkpoint.pr_number}#{n}"
    )
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    pr_number: Any = Sequence(lambda n: n + 1)
    checkpoint_data: Any = CheckpointData(
        files_reviewed=tuple(issue.file_path for issue in ISSUES[:2]),
        files_inspected=tuple(issue.file_path for issue in ISSUES[:4]),
        finding_count=2,
        summary_draft="Retries and authentication have been looked at.",
        total_files=len(ISSUES),
    )
