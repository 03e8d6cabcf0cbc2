"""Search hits and figures, as tables and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.table import Table
from rich.text import Text

from domain import Finding, KnowledgeChunk, LearningMemory
from repositories.cli.sanitizing import printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.values.search import SearchHit

EXCERPT_CHARACTERS: Final = 160


class Description(NamedTuple):
    """The title, origin and text of an entity."""

    title: str
    origin: str
    text: str


def hit_table(title: str, hits: Iterable[SearchHit[Any]], *, exact: bool, how: str) -> Table:
    """Return the hits with their scores, distances and ranks; the caption names the search."""
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
        title, origin, text = _described(hit.item)
        table.add_row(
            f"{hit.score:.3f}",
            "" if hit.distance is None else f"{hit.distance:.3f}",
            _ranks(hit),
            Text(shown(title, 120)).append(f"\n{shown(origin, 120)}", style="dim"),
            _with_terms(Text(shown(text, EXCERPT_CHARACTERS)), hit.matched_terms),
        )
    if not table.row_count:
        table.add_row("", "", "", "", Text("nothing", style="dim"))
    return table


def hits_json(hits: Iterable[SearchHit[Any]]) -> list[dict[str, Any]]:
    """Return the hits for JSON, best first."""
    return [
        {
            "entity": type(hit.item).__name__,
            "id": str(hit.item.id),
            **_described(hit.item)._asdict(),
            "score": hit.score,
            "distance": hit.distance,
            "vector_rank": hit.vector_rank,
            "keyword_rank": hit.keyword_rank,
            "matched_terms": list(hit.matched_terms),
        }
        for hit in hits
    ]


def figures_table(title: str, figures: Iterable[tuple[str, str]]) -> Table:
    """Return names and values, one pair a row."""
    table = Table(title=Text(title, style="bold"), show_header=False, title_justify="left")
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in figures:
        table.add_row(name, Text(printable(value)))
    return table


def _described(item: object) -> Description:
    match item:
        case KnowledgeChunk():
            return Description(item.title or "", item.source, item.content)
        case Finding():
            suppressed = ", suppressed" if item.suppressed else ""
            origin = f"{item.severity.value}, {item.category.value}{suppressed}"
            return Description(f"{item.file_path}:{item.start_line}", origin, item.title)
        case LearningMemory():
            title = f"{item.outcome.value}, {item.severity.value}"
            return Description(title, item.file_path, item.finding_text)
        case _:
            raise TypeError(f"{type(item).__name__} has no description")


def _with_terms(text: Text, terms: tuple[str, ...]) -> Text:
    return text.append(f"\nwords: {shown(', '.join(terms), 120)}", style="dim") if terms else text


def _ranks(hit: SearchHit[Any]) -> str:
    """Return the rank in the search by vector (v) and in the search by words (w)."""
    ranks = (("v", hit.vector_rank), ("w", hit.keyword_rank))
    return " ".join(f"{letter}{rank}" for letter, rank in ranks if rank is not None)
