"""Column types and builders that entities share."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from pgvector import Vector
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Computed, literal_column
from sqlalchemy import Text as SqlText
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.types import TypeDecorator

from domain.schema.tenant_lexemes import keys_index
from domain.schema.text_analysis import indexed_text_sql
from domain.values.jsonb import FrozenList, freeze
from domain.values.text_analysis import INDEXED_CHARACTERS

if TYPE_CHECKING:
    from sqlalchemy import Dialect, Index


class EnumText(TypeDecorator[StrEnum]):
    """A text column for the values of a `StrEnum`.

    The column's CHECK constraint lists the values. Rows have members of the enumeration.
    """

    impl = SqlText
    cache_ok = True

    def __init__(self, enum: type[StrEnum]) -> None:
        super().__init__()
        self.enum = enum

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text of a member; other text goes to the column's CHECK."""
        # The CHECK constraint refuses a text that is not a value, and its error names the column.
        return None if value is None else str(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> StrEnum | None:
        """Return the value of a row as the field's Python type."""
        return None if value is None else self.enum(value)


SEARCH_VECTOR_UNMAPPED: Final = {"exclude_properties": ["search_vector", "text_hash"]}
"""`__mapper_args__` of an entity with the generated columns of searches."""


INDEXED_BY_HASH: Final = {"indexed_by": "md5"}
"""`info` of a text column with an index on its MD5, because it can be longer than an entry.

Filters compare the hashes as well, so that the index serves them.
"""


def search_vector(language: str = "english", /, **weights: str) -> tuple[Column[Any], Index]:
    """Return the generated tsvector column over the weighted columns, and its GIN index of keys.

    Entities leave the column out of their mapping (`exclude_properties`), because the server
    computes it and only statements use it.

    Args:
        language: text search configuration.
        weights: the columns, each with its weight `A` (most) to `D`.
    """
    parts = (
        f"setweight(to_tsvector('{language}', "
        f"{indexed_text_sql(column, INDEXED_CHARACTERS[weight])}), '{weight}')"
        for column, weight in weights.items()
    )
    comment = "Lexemes for keyword search, made by the server."
    # `text` would read the colons of a regular expression as bind parameters.
    generated = Computed(literal_column(" || ".join(parts)), persisted=True)
    column = Column("search_vector", TSVECTOR, generated, nullable=True, comment=comment)
    return column, keys_index(column)


class EmbeddingColumn(VECTOR):
    """A vector column, which the driver's codec exchanges in binary instead of as text.

    Entities declare it without dimensions. The migrations add the dimensions of the database.
    """

    cache_ok = True
    # Without a cast, PostgreSQL takes a parameter that stands alone for text.
    render_bind_cast = True

    def bind_processor(self, dialect: Dialect) -> Any:
        """Return None: the driver's codec sends the vector."""
        return None

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the function that reads a vector from the driver's value."""
        return _from_server


def _from_server(value: Vector | str | None) -> Vector | None:
    # After the extension was dropped and created, an open connection reads text until it registers
    # the codecs of the new types.
    return Vector.from_text(value) if isinstance(value, str) else value


class FrozenListArray(ARRAY[Any]):
    """An array column whose rows have frozen lists."""

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:
        """Return the function that freezes the driver's list."""
        read = super().result_processor(dialect, coltype)

        def frozen(value: Any) -> FrozenList | None:
            return None if value is None else FrozenList(read(value) or ())

        return frozen


class FrozenJsonb(TypeDecorator[Any]):
    """A jsonb column whose rows have frozen values.

    Python's None is SQL's NULL, never JSON's null.
    """

    impl = JSONB(none_as_null=True)
    cache_ok = True

    def process_result_value(self, value: Any, dialect: object) -> Any:
        """Return the value of a row as the field's Python type."""
        return freeze(value)
