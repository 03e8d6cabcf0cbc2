"""Test collections: documents, queries, and relevance judgements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from domain.errors import ConfigurationError, InvalidInput
from domain.values.text import Key, Text

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping
    from pathlib import Path

DOCUMENTS: Final = "documents.jsonl"
QUERIES: Final = "queries.jsonl"
RELEVANCE: Final = "relevance.tsv"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


Judgements: TypeAlias = "Mapping[str, Mapping[str, int]]"
"""Grades by query id and document id; 0 means not relevant."""


class _Record(BaseModel):
    """One line of JSON; other fields are ignored. A whole number as id becomes text."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    id: Key

    @field_validator("id", mode="before")
    @classmethod
    def _number_as_text(cls, value: object) -> object:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class CollectionDocument(_Record):
    """One document; a search finds it as a whole."""

    title: Text | None = None
    text: Text

    @property
    def embedded_text(self) -> str:
        """The text that is embedded: the title and the text."""
        return f"{self.title or ''}\n{self.text}".strip()


class CollectionQuery(_Record):
    """One query."""

    text: Text


R = TypeVar("R", bound=_Record)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file that is not blank."""

    file: str
    number: int
    content: bytes

    def refuse(self, reason: str) -> InvalidInput:
        """Return an error that names the line and the reason, without the content."""
        return InvalidInput(f"{self.file}:{self.number}: {reason}")

    def read(self, kind: type[R]) -> R:
        """Return the record of the line, or raise InvalidInput."""
        try:
            return kind.model_validate_json(self.content)
        except ValidationError as error:
            detail = error.errors(include_url=False, include_input=False, include_context=False)[0]
        if detail["type"] == "json_invalid":
            raise self.refuse("not valid JSON")
        field = f"{detail['loc'][0]}: " if detail["loc"] else ""
        raise self.refuse(f"{field}{detail['msg'].removeprefix('Value error, ')}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A folder with the three files of a collection.

    They are `documents.jsonl` (id, title, text), `queries.jsonl` (id, text) and `relevance.tsv`
    (query, document, grade). Documents are read one by one; queries and judgements are in memory.
    Blank lines are skipped. A line that is not valid raises InvalidInput with its file and number.
    """

    folder: Path

    def require_complete(self) -> None:
        """Raise ConfigurationError unless the three files exist."""
        if not self.folder.is_dir():
            raise ConfigurationError(f"{self.folder} is not a folder", setting="dir")
        for name in (DOCUMENTS, QUERIES, RELEVANCE):
            if not (self.folder / name).is_file():
                raise ConfigurationError(f"{self.folder} has no file {name}", setting="dir")

    def documents(self) -> Iterator[tuple[Line, CollectionDocument]]:
        """Yield every document with its line; the database reports duplicate ids."""
        return ((line, line.read(CollectionDocument)) for line in self._lines(DOCUMENTS))

    def queries(self) -> tuple[CollectionQuery, ...]:
        """Return every query."""
        queries: dict[str, CollectionQuery] = {}
        for line in self._lines(QUERIES):
            query = line.read(CollectionQuery)
            if query.id in queries:
                raise line.refuse("another query has this id")
            queries[query.id] = query
        if not queries:
            raise InvalidInput(f"{QUERIES} has no query")
        return tuple(queries.values())

    def judgements(self) -> Judgements:
        """Return the judgements; the file may begin with a line of headings."""
        judgements: dict[str, dict[str, int]] = {}
        for count, line in enumerate(self._lines(RELEVANCE)):
            query, document, grade = _columns(line)
            if count == 0 and not any(character.isdigit() for character in grade):
                continue
            if not (grade.isascii() and grade.isdigit() and len(grade) <= 9):
                raise line.refuse("the grade must be a whole number of at most nine digits")
            if judgements.setdefault(query, {}).setdefault(document, int(grade)) != int(grade):
                raise line.refuse("an earlier line has another grade for this query and document")
        return judgements

    def require_known(self, documents: Container[str]) -> None:
        """Raise InvalidInput, which names the line, if a judgement is of another document."""
        for count, line in enumerate(self._lines(RELEVANCE)):
            _, document, grade = _columns(line)
            is_heading = count == 0 and not any(character.isdigit() for character in grade)
            if document not in documents and not is_heading:
                raise line.refuse(f"{DOCUMENTS} has no document with this id")

    def _lines(self, name: str) -> Iterator[Line]:
        with (self.folder / name).open("rb") as file:
            for number, content in enumerate(file, start=1):
                text = content.removeprefix(_BYTE_ORDER_MARK) if number == 1 else content
                if text.strip():
                    yield Line(name, number, text)


def _columns(line: Line) -> tuple[str, str, str]:
    try:
        columns = line.content.decode().rstrip("\r\n").split("\t")
    except UnicodeDecodeError:
        raise line.refuse("not valid UTF-8") from None
    if len(columns) != 3:
        raise line.refuse("a line has three columns, separated by tabs")
    return columns[0], columns[1], columns[2].strip()
