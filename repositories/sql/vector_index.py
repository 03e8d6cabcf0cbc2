"""The index of a column of embeddings: covering for exact search, or HNSW in one of three forms.

A covering index stores the embeddings themselves, ordered by tenant. An exact search reads the
tenant's part of it and nothing else, so its cost depends on the rows of that tenant alone.
"""

from __future__ import annotations

from enum import Enum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from pgvector.sqlalchemy import BIT, HALFVEC, VECTOR
from sqlalchemy import Column, Float, Index, cast, func

from domain import metadata
from domain.schema.columns import EmbeddingColumn
from domain.values.embedding import MAX_DIMENSIONS

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

MAX_COVERED_DIMENSIONS: Final = 512
"""Up to this dimension an embedding fits into a covering index.

A B-tree tuple has at most 2,704 bytes: 2,056 for the embedding, and the rest for the longest names
of a tenant and a repository, the id and the hash of the text.
"""

_COVERED_COLUMNS: Final = ("id", "stale", "text_hash")
"""The columns that a search reads beside the embedding, where a table has them."""


class IndexForm(Enum):
    """The representation of embeddings in an HNSW index. A search orders by exactly that.

    pgvector's limits for HNSW are 2,000 dimensions of `vector`, 4,000 of `halfvec` and 64,000 of
    `bit`; a column of `vector` ends at 16,000.
    """

    VECTOR = "vector_cosine_ops"
    """The embedding itself."""

    HALFVEC = "halfvec_cosine_ops"
    """Its cast to half precision; distances differ from the exact ones in the fourth digit."""

    BIT = "bit_hamming_ops"
    """The signs of its components.

    A distance is the number of bits that differ, so candidates have to be ranked again.
    """

    @classmethod
    def for_dimensions(cls, dimensions: int) -> IndexForm:
        """Return the most exact form that can be built. Raises ValueError outside 1 to 16,000."""
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise ValueError(
                f"an embedding has 1 to {MAX_DIMENSIONS:,} dimensions, not {dimensions}"
            )
        return next(form for form, limit in _LIMITS.items() if dimensions <= limit)

    @property
    def opclass(self) -> str:
        return self.value

    def bytes_of(self, dimensions: int) -> int:
        """Return the size of what the index keeps of an embedding."""
        return {
            IndexForm.VECTOR: 4 * dimensions,
            IndexForm.HALFVEC: 2 * dimensions,
            IndexForm.BIT: dimensions // 8 + 1,
        }[self]

    def indexed(self, embedding: ColumnElement[Any], dimensions: int) -> ColumnElement[Any]:
        """Return what the index is over; `embedding` is the column."""
        match self:
            case IndexForm.VECTOR:
                return embedding
            case IndexForm.HALFVEC:
                return cast(embedding, HALFVEC(dimensions))
            case IndexForm.BIT:
                return cast(func.binary_quantize(embedding), BIT(dimensions))

    def distance(
        self, column: ColumnElement[Any], query: ColumnElement[Any], dimensions: int
    ) -> ColumnElement[float]:
        """Return the distance of `query`, a vector, that the index orders by.

        Cosine, or with `BIT` how many signs differ.
        """
        operator = "<~>" if self is IndexForm.BIT else "<=>"
        # binary_quantize takes several types, so that the server could not tell a parameter's.
        vector = cast(query, VECTOR(dimensions)) if self is IndexForm.BIT else query
        return self.indexed(column, dimensions).op(operator, return_type=Float())(
            self.indexed(vector, dimensions)
        )


class Graph(Enum):
    """The HNSW index that serves the vector searches of a tenant."""

    NONE = "none"
    """None: all rows of the tenant are compared."""

    SHARED = "shared"
    """The index of all tenants, which has to skip the rows of the others."""

    OWN = "own"
    """An index of the tenant's rows alone."""


_LIMITS: Final = {IndexForm.VECTOR: 2_000, IndexForm.HALFVEC: 4_000, IndexForm.BIT: MAX_DIMENSIONS}


def is_covered(dimensions: int) -> bool:
    """Return whether a covering index serves embeddings of this dimension."""
    return dimensions <= MAX_COVERED_DIMENSIONS


def covering_index(column: Column[Any], name: str | None = None) -> Index:
    """Return the covering index of a column of embeddings.

    It begins with the tenant. In tables of the library the repository follows, by which most
    filters select; an application's own `repo` can be too long for an index.
    """
    table = column.table
    key = ["tenant", "repo"] if table.name in metadata.tables else ["tenant"]
    included = [other for other in _COVERED_COLUMNS if other in table.c]
    return Index(
        name or vector_index_name(column),
        *(table.c[part] for part in key),
        postgresql_include=[*included, column.name],
    )


def vector_index_name(column: Column[Any]) -> str:
    """Return the name of the index of a column of embeddings, covering or HNSW."""
    return f"ix_{column.table.name}_{column.name}"


SEARCHED_LIVE: Final = frozenset({"learning_memories"})
"""Tables whose searches leave out stale rows, and whose indexes of single tenants have none.

A row that is marked stale then leaves the index. Otherwise its new version would be inserted into
the graph, for one or two milliseconds.
"""

TENANT_INDEX: Final = r"^ix_.*_tenant_[0-9a-f]{16}$"
"""A regular expression of the names of HNSW indexes of one tenant."""


def tenant_index_name(table: str, tenant: str) -> str:
    """Return the name of the HNSW index of one tenant's rows of a table."""
    digest = sha256(f"{table} {tenant}".encode()).hexdigest()
    return f"ix_{table[:32]}_tenant_{digest[:16]}"


VECTOR_INDEXES: Final = tuple(
    vector_index_name(column)
    for table in metadata.sorted_tables
    for column in table.columns
    if isinstance(column.type, EmbeddingColumn)
)
"""The names of the indexes of embeddings that every database has."""
