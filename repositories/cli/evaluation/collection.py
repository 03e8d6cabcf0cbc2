"""Test collections: documents, queries, and which documents answer which query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from domain.errors import ConfigurationError, InvalidInput
from domain.values.text import Key, Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DOCUMENTS: Final = "documents.jsonl"
QUERIES: Final = "queries.jsonl"
RELEVANCE: Final = "relevance.tsv"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


Judgements: TypeAlias = "Mapping[str, Mapping[str, int]]"
"""Grades by query and document; 0 is not relevant."""


class _Record(BaseModel):
    """One line of JSON; fields that nobody asks for are ignored.

    An id is a name, or a whole number that stands for its digits.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: Key

    @field_validator("id", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Document(_Record):
    """One document, which is found or not found as a whole."""

    title: Text | None = None
    text: Text

    @property
    def embedded_text(self) -> str:
        """What its embedding is made of."""
        return f"{self.title or ''}\n{self.text}".strip()


class Query(_Record):
    """One question."""

    text: Text


R = TypeVar("R", bound=_Record)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file that holds something."""

    file: str
    number: int
    content: bytes

    def refuse(self, reason: str) -> InvalidInput:
        """Return the error that says where it is and what is wrong with it, and repeats nothing of it."""
        return InvalidInput(f"{self.file}:{self.number}: {reason}")

    def read(self, kind: type[R]) -> R:
        """Return the record that the line holds. Raises InvalidInput."""
        try:
            return kind.model_validate_json(self.content)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if detail["type"] == "json_invalid":
            raise self.refuse("this is not JSON")
        field = f"{detail['loc'][0]}: " if detail["loc"] else ""
        raise self.refuse(f"{field}{detail['msg'].removeprefix('Value error, ')}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder with `documents.jsonl` (id, title, text), `queries.jsonl` (id, text) and
    `relevance.tsv` (query, document, grade).

    Documents are read one by one, however many there are; queries and relevance are held in memory.
    Blank lines are skipped. What cannot be read raises InvalidInput, with file and line.
    """

    folder: Path

    def require_complete(self) -> None:
        """Raise ConfigurationError unless the three files are there."""
        if not self.folder.is_dir():
            raise ConfigurationError(f"{self.folder} is not a folder", setting="dir")
        for name in (DOCUMENTS, QUERIES, RELEVANCE):
            if not (self.folder / name).is_file():
                raise ConfigurationError(f"there is no {name} in {self.folder}", setting="dir")

    def documents(self) -> Iterator[tuple[Line, Document]]:
        """Yield every document with its line. That an id comes twice is for the database to say."""
        return ((line, line.read(Document)) for line in self._lines(DOCUMENTS))

    def queries(self) -> tuple[Query, ...]:
        """Return every query."""
        found: dict[str, Query] = {}
        for line in self._lines(QUERIES):
            query = line.read(Query)
            if query.id in found:
                raise line.refuse("another query has this id")
            found[query.id] = query
        if not found:
            raise InvalidInput(f"{QUERIES} holds no query")
        return tuple(found.values())

    def judgements(self) -> Judgements:
        """Return what is said of documents; the file may begin with a line of headings."""
        found: dict[str, dict[str, int]] = {}
        for count, line in enumerate(self._lines(RELEVANCE)):
            query, document, grade = _columns(line)
            if count == 0 and not any(character.isdigit() for character in grade):
                continue
            if not (grade.isascii() and grade.isdigit() and len(grade) <= 9):
                raise line.refuse("the grade is not a whole number of at most nine digits")
            if found.setdefault(query, {}).setdefault(document, int(grade)) != int(grade):
                raise line.refuse("this document has another grade for the same query above")
        return found

    def _lines(self, name: str) -> Iterator[Line]:
        with (self.folder / name).open("rb") as file:
            for number, content in enumerate(file, start=1):
                held = content.removeprefix(_BYTE_ORDER_MARK) if number == 1 else content
                if held.strip():
                    yield Line(name, number, held)


def _columns(line: Line) -> tuple[str, str, str]:
    try:
        columns = line.content.decode().rstrip("\r\n").split("\t")
    except UnicodeDecodeError:
        raise line.refuse("this is not UTF-8") from None
    if len(columns) != 3:
        raise line.refuse("there are not three columns with tabs between them")
    return columns[0], columns[1], columns[2].strip()
