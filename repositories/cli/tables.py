"""Tables for what was found and what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from domain import Finding, KnowledgeChunk, LearningMemory
from repositories.cli.demo.sanitizing import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.values.search import SearchHit

EXCERPT_CHARACTERS: Final = 160


def hit_table(title: str, hits: Iterable[SearchHit[Any]], *, exact: bool, how: str) -> Table:
    """Return the hits with their scores, distances and ranks.

    The caption says how they were found.
    """
    reach = "exact" if exact else "through the approximate index"
    table = Table(
        title=Text(shown(title, 200), style="bold"),
        caption=f"{how}; {reach}",
        title_justify="left",
        expand=True,
    )
    for heading in ("score", "distance", "rank"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("where", ratio=2, overflow="fold")
    table.add_column("what", ratio=3, overflow="fold")
    for hit in hits:
        place, what = _described(hit.item)
        table.add_row(
            f"{hit.score:.3f}",
            _figure(hit.distance),
            _ranks(hit),
            place,
            _with_words(what, hit.matched_terms),
        )
    if not table.row_count:
        table.add_row("", "", "", "", Text("nothing", style="dim"))
    return table


def figures_table(title: str, figures: Iterable[tuple[str, str]]) -> Table:
    """Return names and values, one pair a row."""
    table = Table(title=Text(title, style="bold"), show_header=False, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in figures:
        table.add_row(name, Text(value))
    return table


def _described(item: object) -> tuple[Text, Text]:
    """Return where an entity comes from, and what it says."""
    match item:
        case KnowledgeChunk():
            return _lines(item.title or "", item.source), _excerpt(item.content)
        case Finding():
            held_back = ", suppressed" if item.suppressed else ""
            place = f"{item.file_path}:{item.start_line}"
            return _lines(
                place, f"{item.severity.value}, {item.category.value}{held_back}"
            ), _excerpt(item.title)
        case LearningMemory():
            return _lines(f"{item.outcome.value}, {item.severity.value}", item.file_path), _excerpt(
                item.finding_text
            )
        case _:
            raise TypeError(f"{type(item).__name__} cannot be shown")


def _lines(first: str, second: str) -> Text:
    return Text(shown(first, 120)).append(f"\n{shown(second, 120)}", style="dim")


def _excerpt(text: str) -> Text:
    return Text(shown(text, EXCERPT_CHARACTERS))


def _with_words(what: Text, terms: tuple[str, ...]) -> Text:
    return what.append(f"\nwords: {shown(', '.join(terms), 120)}", style="dim") if terms else what


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _ranks(hit: SearchHit[Any]) -> str:
    """Say at which rank each of the two ways found it."""
    ranks = (("v", hit.vector_rank), ("w", hit.keyword_rank))
    return " ".join(f"{letter}{rank}" for letter, rank in ranks if rank is not None)
