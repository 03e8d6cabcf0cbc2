"""Search by vector and by words for an application's own entities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlmodel import Field, SQLModel

from domain.errors import InvalidEntity
from domain.schema.columns import SEARCH_VECTOR_UNMAPPED, EmbeddingColumn, search_vector
from domain.schema.constraints import embedding_check
from domain.schema.text_hash import text_hash_column
from domain.values.embedding import OptionalEmbedding
from domain.values.text import Name

if TYPE_CHECKING:
    from sqlalchemy.schema import SchemaItem

_WEIGHTS: Final = "recollect_search_weights"
_TEXT: Final = "recollect_search_text"


class Searchable(SQLModel):
    """Adds an embedding and keyword search to an application's own entity.

    List it before `ApplicationEntity`, and add the columns of the server with `searchable`::

        class Note(Searchable, ApplicationEntity, table=True):
            __tablename__ = "notes"
            __table_args__ = (*searchable("body", title="A", body="C"),)

            title: Name
            body: Text
    """

    __mapper_args__: ClassVar[Any] = SEARCH_VECTOR_UNMAPPED

    embedding: OptionalEmbedding = Field(
        default=None, sa_type=EmbeddingColumn, description="Vector of the text."
    )
    embedding_model: Name | None = Field(
        default=None, description="Model that computed the embedding."
    )

    @classmethod
    def search_weights(cls) -> Mapping[str, str]:
        """Return the searched columns, with the weight A (most) to D of each."""
        weights: Mapping[str, str] = vars(cls)["__table__"].c.search_vector.info[_WEIGHTS]
        return weights

    @classmethod
    def search_text(cls) -> str:
        """Return the column whose text tells rows apart in a distinct search."""
        column: str = vars(cls)["__table__"].c.search_vector.info[_TEXT]
        return column


def searchable(text: str, /, **weights: str) -> tuple[SchemaItem, ...]:
    """Return the columns, indexes and rules of a searchable entity, for `__table_args__`.

    Args:
        text: the column whose text tells rows apart in a distinct search.
        weights: the searched columns, each with its weight A (most) to D in keyword search.

    Raises:
        InvalidEntity: no column has a weight, or a weight is not one of A to D.
    """
    if not weights or not set(weights.values()) <= set("ABCD"):
        raise InvalidEntity(
            "searchable() needs the searched columns with weights from A to D: write"
            ' `*searchable("body", title="A", body="C")`'
        )
    column, index = search_vector(**weights)
    column.info.update({_WEIGHTS: dict(weights), _TEXT: text})
    return (embedding_check(), column, index, *text_hash_column(text))
