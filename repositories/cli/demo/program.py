"""The demo from start to end: review, store, answer. A second run skips what is stored already."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain import UsageBy, where
from repositories.cli.demo import recording
from repositories.cli.demo.linter import lint
from repositories.cli.demo.outcome import Outcome
from repositories.cli.demo.passages import passages
from repositories.cli.demo.questions import answer, questions_for
from repositories.cli.demo.report import review_report
from repositories.cli.progress import progress_bars

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from domain import ReadUnitOfWork
    from repositories.cli.demo.recording import CountsTokens, Opens
    from repositories.cli.demo.source import Source

MAX_PASSAGES: Final = 1_500
"""The demo stores at most this many passages: documents before docstrings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """One run of the demo over `source`, on an open database."""

    database: Opens
    embedder: CountsTokens
    source: Source
    console: Console

    async def run(self) -> Outcome:
        """Review the source, store the results, and answer the questions.

        Raises:
            LinterFailed, DatabaseFailure: as the linter and the database do.
        """
        started = time.perf_counter()
        head_sha = await asyncio.to_thread(self.source.head)
        with progress_bars(self.console) as progress:
            review = await self._review(progress, head_sha)
            documentation = await self._store_documentation(progress)
        async with self.database.reader() as view:
            figures = await _figures(view, self.source.repo)
        questions = questions_for(self.source)
        answers = await answer(self.database, self.embedder, self.source, questions)
        return Outcome(
            repo=self.source.repo,
            sentences=(review, documentation),
            figures=figures,
            answers=tuple(answers),
            seconds=time.perf_counter() - started,
        )

    async def _review(self, progress: Progress, head_sha: str) -> str:
        name = f"{self.source.name} {self.source.version}".rstrip()
        files = f"{len(self.source.files):,} files"
        if await recording.is_reviewed(self.database, self.source.repo, head_sha):
            return f"The review of {name} is stored already ({files}, unchanged)."
        task = progress.add_task(f"Reviewing {name}", total=2)
        violations = await asyncio.to_thread(lint, self.source.root)
        report = review_report(self.source, violations, head_sha=head_sha)
        progress.advance(task)
        stored = await recording.record_review(
            self.database, self.embedder, report, head_sha=head_sha
        )
        progress.advance(task)
        if not stored:
            return f"Another program is storing the review of {name}; this one skips it."
        left_out = f"; {report.left_out:,} less severe ones left out" if report.left_out else ""
        return (
            f"Reviewed {name} with {report.review.model}: {len(report.findings):,} findings in "
            f"{files}, {report.suppressed:,} of them suppressed by their authors{left_out}."
        )

    async def _store_documentation(self, progress: Progress) -> str:
        every = await asyncio.to_thread(passages, self.source)
        chunks = every[:MAX_PASSAGES]
        task = progress.add_task("Storing its documentation", total=len(chunks))
        changes = await recording.record_knowledge(
            self.database,
            self.embedder,
            chunks,
            self.source.repo,
            advance=lambda count: progress.advance(task, count),
        )
        left_out = f", {len(every) - len(chunks):,} left out" if len(every) > len(chunks) else ""
        deleted = f", {changes.deleted:,} deleted" if changes.deleted else ""
        if changes.unchanged:
            stored = (
                f"Its documentation: {changes.unchanged:,} passages unchanged, "
                f"{changes.embedded:,} embedded"
            )
        else:
            stored = (
                f"Stored its documentation: {changes.embedded:,} passages embedded with "
                f"{self.embedder.provider}"
            )
        return f"{stored}{deleted}{left_out}."


async def _figures(view: ReadUnitOfWork, repo: str) -> dict[str, str]:
    stats = await view.reviews.stats(repo)
    usage = await view.telemetry.usage(by=UsageBy.MODEL, repo=repo)
    of_repo = where("repo").equals(repo)
    durations = ", ".join(f"{model.duration_ms:,} ms of {model.key}" for model in usage)
    severities = ", ".join(
        f"{count:,} {severity.value}" for severity, count in stats.by_severity.items() if count
    )
    files = ", ".join(f"{file.file_path} ({file.findings:,})" for file in stats.top_files[:3])
    return {
        "reviews": f"{stats.reviews:,}, in {durations}",
        "findings": f"{stats.findings:,}: {severities}; {stats.suppressed:,} suppressed",
        "declared findings": f"{stats.declared_findings:,}",
        "most findings": files,
        "memories": f"{await view.memories.count(of_repo):,}",
        "passages": f"{await view.knowledge.count(of_repo):,}",
    }
