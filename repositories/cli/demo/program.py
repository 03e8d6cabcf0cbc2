"""The demo from end to end: review, remember, ask.

What a second run recognises it does not do again.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from domain import UsageBy, where
from repositories.cli.demo import recording
from repositories.cli.demo.linter import lint
from repositories.cli.demo.passages import passages
from repositories.cli.demo.questions import answer, questions_for
from repositories.cli.demo.report import review_report
from repositories.cli.tables import figures_table, hit_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from domain import ReadUnitOfWork
    from repositories.cli.demo.recording import CountsTokens, Opens
    from repositories.cli.demo.source import Source

MAX_PASSAGES = 1_500
"""Of more passages the first are remembered: documents before docstrings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """One run of the demo over `source`, on an open database."""

    database: Opens
    embedder: CountsTokens
    source: Source
    console: Console

    async def run(self) -> None:
        """Do all of it. Raises what linter and database raise."""
        started = time.perf_counter()
        head_sha = await asyncio.to_thread(self.source.head)
        with self._progress() as progress:
            told = [await self._review(progress, head_sha), *await self._remember(progress)]
        for sentence in told:
            self.console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        await self._show_figures()
        await self._ask()
        self.console.print(f"Done in {time.perf_counter() - started:.1f} s.", highlight=False)

    def _progress(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        return Progress(
            *columns, console=self.console, disable=not self.console.is_terminal, transient=True
        )

    async def _review(self, progress: Progress, head_sha: str) -> str:
        name = f"{self.source.name} {self.source.version}".rstrip()
        if await recording.is_reviewed(self.database, self.source.repo, head_sha):
            return f"Seen before: the review of {name} is recorded already ({len(self.source.files):,} files, unchanged)."
        task = progress.add_task(f"Reviewing {name}", total=2)
        report = review_report(
            self.source, await asyncio.to_thread(lint, self.source.root), head_sha=head_sha
        )
        progress.advance(task)
        recorded = await recording.record_review(
            self.database, self.embedder, report, head_sha=head_sha
        )
        progress.advance(task)
        if not recorded:
            return f"Another program is recording the review of {name} at this moment; it is left to it."
        left_out = f"; {report.left_out:,} less severe ones left out" if report.left_out else ""
        return (
            f"Reviewed {name} with {report.review.model}: {len(report.findings):,} findings in {len(self.source.files):,} files, "
            f"{report.suppressed:,} of them suppressed by their authors{left_out}."
        )

    async def _remember(self, progress: Progress) -> Iterator[str]:
        every = await asyncio.to_thread(passages, self.source)
        chunks = every[:MAX_PASSAGES]
        task = progress.add_task("Reading its documentation", total=len(chunks))
        changes = await recording.record_knowledge(
            self.database,
            self.embedder,
            chunks,
            self.source.repo,
            advance=lambda count: progress.advance(task, count),
        )
        left_out = f", {len(every) - len(chunks):,} left out" if len(every) > len(chunks) else ""
        seen = (
            f"Seen before: {changes.unchanged:,} passages unchanged, {changes.embedded:,} embedded"
        )
        new = f"Read its documentation: {changes.embedded:,} passages embedded with {self.embedder.provider}"
        deleted = f", {changes.deleted:,} deleted" if changes.deleted else ""
        return iter([f"{seen if changes.unchanged else new}{deleted}{left_out}."])

    async def _show_figures(self) -> None:
        async with self.database.reader() as view:
            figures = await _figures(view, self.source.repo)
        self.console.print(figures_table(f"What the database knows of {self.source.repo}", figures))

    async def _ask(self) -> None:
        for found in await answer(
            self.database, self.embedder, self.source, questions_for(self.source)
        ):
            self.console.print()
            self.console.print(
                hit_table(
                    found.question.text, found.hits, exact=found.exact, how=found.question.ask.value
                )
            )


async def _figures(view: ReadUnitOfWork, repo: str) -> list[tuple[str, str]]:
    stats = await view.reviews.stats(repo)
    usage = await view.telemetry.usage(by=UsageBy.MODEL, repo=repo)
    of_repo = where("repo").equals(repo)
    severities = ", ".join(
        f"{count:,} {severity.value}" for severity, count in stats.by_severity.items() if count
    )
    return [
        (
            "reviews",
            f"{stats.reviews:,}, in {', '.join(f'{model.duration_ms:,} ms of {model.key}' for model in usage)}",
        ),
        ("findings", f"{stats.findings:,}: {severities}; {stats.suppressed:,} suppressed"),
        ("declared findings", f"{stats.declared_findings:,}"),
        (
            "most findings",
            ", ".join(f"{file.file_path} ({file.findings:,})" for file in stats.top_files[:3]),
        ),
        ("memories", f"{await view.memories.count(of_repo):,}"),
        ("passages", f"{await view.knowledge.count(of_repo):,}"),
    ]
