"""The outcome of the demo, for people and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from repositories.cli.output import show
from repositories.cli.tables import figures_table, hit_table, hits_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from repositories.cli.demo.questions import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The stored rows in figures, and the answers to the questions."""

    repo: str
    sentences: tuple[str, ...]
    figures: Mapping[str, str]
    answers: tuple[Answer, ...]
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return the outcome as one JSON object."""
        return {
            "repo": self.repo,
            "messages": list(self.sentences),
            "figures": dict(self.figures),
            "answers": [
                {
                    "question": answer.question.text,
                    "method": answer.question.method.value,
                    "exact": answer.exact,
                    "hits": hits_json(answer.hits),
                }
                for answer in self.answers
            ],
            "seconds": round(self.seconds, 3),
        }

    def show(self, console: Console) -> None:
        """Print the outcome."""
        for sentence in self.sentences:
            console.print(sentence, markup=False, highlight=False, soft_wrap=True)
        title = f"Rows of {self.repo} in the database"
        show(figures_table(title, self.figures.items()), console)
        for answer in self.answers:
            console.print()
            question = answer.question
            table = hit_table(
                question.text, answer.hits, exact=answer.exact, how=question.method.value
            )
            show(table, console)
        console.print(f"Done in {self.seconds:.1f} s.", highlight=False)
