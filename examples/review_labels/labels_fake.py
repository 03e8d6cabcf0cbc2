"""Labels, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from domain import where
from examples.review_labels.labels import ReviewLabel
from repositories.fakes.repository import FakeReadRepository, FakeRepository


class FakeLabelReader(FakeReadRepository[ReviewLabel]):
    """Reads labels in memory."""

    async def of_pull_request(self, repo: str, pr_number: int) -> Sequence[str]:
        chosen = where("repo").equals(repo) & where("pr_number").equals(pr_number)
        return sorted(label.label for label in await self.list(chosen))

    async def most_used(self, repo: str, *, limit: int = 10) -> Sequence[tuple[str, int]]:
        of_repo = where("repo").equals(repo)
        uses = Counter([label.label async for label in self.stream(of_repo)])
        return sorted(uses.items(), key=lambda item: (-item[1], item[0]))[:limit]


class FakeLabelRepository(FakeLabelReader, FakeRepository[ReviewLabel]):
    """Reads and writes labels in memory."""
