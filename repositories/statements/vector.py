"""Nearest rows by vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import CTE, ColumnElement, Float, Select, and_, bindparam, func, literal, not_, select, true, union_all

from domain.embedding import EmbeddingColumn
from domain.search import Distance
from repositories.statements.vector_index import IndexForm

if TYPE_CHECKING:
    from pgvector import Vector

    from domain.entity import Entity

OPERATORS = {Distance.COSINE: "<=>", Distance.L2: "<->", Distance.INNER_PRODUCT: "<#>"}

MAX_EF_SEARCH = 1_000
"""pgvector's largest list of candidates."""

FEW_ROWS = 4_000
"""Up to so many matching rows are compared one by one: perfect, and at 11 µs a row faster than an index that skips the rest."""

# Half precision and single bits are less exact, so that more candidates are ranked again by the embeddings themselves.
_MIN_CANDIDATES = {IndexForm.VECTOR: 0, IndexForm.HALFVEC: 100, IndexForm.BIT: 200}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is nearest to `embedding`: `limit` rows by `metric`, through an index of `dimensions` or, `exact`, past it."""

    embedding: Vector
    limit: int
    dimensions: int
    ef_search: int
    metric: Distance = Distance.COSINE
    exact: bool = False

    @property
    def form(self) -> IndexForm:
        """The form of the index that serves the question."""
        return IndexForm.for_dimensions(self.dimensions)

    @property
    def candidates(self) -> int:
        """How many rows the index hands over to be ranked by their true distance."""
        return self.limit if self.form is IndexForm.VECTOR else min(MAX_EF_SEARCH, max(_MIN_CANDIDATES[self.form], 4 * self.limit))

    @property
    def scan_size(self) -> int:
        """The size of the HNSW scan's list of candidates: `LIMIT 100` over a list of 40 gave 40 rows."""
        return min(MAX_EF_SEARCH, max(self.ef_search, 2 * self.limit, self.candidates))


def nearest(entity: type[Entity], question: Question, tenant: ColumnElement[bool], condition: ColumnElement[bool] | None) -> CTE:
    """Return ids and distances of the nearest rows that have an embedding and meet the conditions, ranked, ties by id.

    `exact` tells which way it went. With a condition, up to `FEW_ROWS` rows that meet it are compared one by one; an index that
    has to skip the others finds rows far from the query with a recall of 0.63.
    """
    columns = entity.__table__.c
    asked = bindparam("embedding", question.embedding, EmbeddingColumn())
    there = and_(tenant, columns.embedding.is_not(None), true() if condition is None else condition)
    # The index serves cosine alone, and is hidden from an exact question.
    if question.exact or question.metric is not Distance.COSINE:
        distance = distance_between(columns.embedding, asked, question.metric)
        scanned = _branch(columns.id, distance, there, order=distance + 0.0, limit=question.limit, exact=True)
    elif condition is None:
        scanned = _through_index(entity, question, asked, there)
    else:
        scanned = _few_or_index(entity, question, asked, there)
    found = scanned.cte("scanned").prefix_with("MATERIALIZED", dialect="postgresql")
    # The scan hands rows over nearly in order, and candidates in another one: they are ranked here.
    rank = func.row_number().over(order_by=(found.c.distance, found.c.id)).label("rank")
    ranked = select(found.c.id, found.c.distance, found.c.exact, rank)
    return ranked.order_by(found.c.distance, found.c.id).limit(question.limit).cte("nearest")


def distance_between(embedding: ColumnElement[Any], asked: ColumnElement[Any], metric: Distance) -> ColumnElement[float]:
    """Return the distance of two vectors: pgvector's operator."""
    return embedding.op(OPERATORS[metric], return_type=Float())(asked)


def _branch(
    key: ColumnElement[Any],
    distance: ColumnElement[float],
    condition: ColumnElement[bool],
    *,
    order: ColumnElement[Any],
    limit: int,
    exact: bool,
) -> Select[Any]:
    statement = select(key, distance.label("distance"), literal(exact).label("exact")).where(condition)
    return statement.order_by(order, key).limit(limit)


def _through_index(entity: type[Entity], question: Question, asked: ColumnElement[Any], there: ColumnElement[bool]) -> Select[Any]:
    columns = entity.__table__.c
    order = question.form.distance(columns.embedding, asked, question.dimensions)
    distance = distance_between(columns.embedding, asked, question.metric)
    return _branch(columns.id, distance, there, order=order, limit=question.candidates, exact=False)


def _few_or_index(entity: type[Entity], question: Question, asked: ColumnElement[Any], there: ColumnElement[bool]) -> Any:
    columns = entity.__table__.c
    few = select(columns.id, columns.embedding).where(there).limit(FEW_ROWS + 1).cte("few")
    few = few.prefix_with("MATERIALIZED", dialect="postgresql")
    are_few = select(func.count() <= FEW_ROWS).select_from(few).scalar_subquery()
    distance = distance_between(few.c.embedding, asked, question.metric)
    one_by_one = _branch(few.c.id, distance, are_few, order=distance, limit=question.limit, exact=True)
    # A condition on a subquery alone is decided once: the branch that does not hold is not executed.
    return union_all(
        one_by_one.subquery().select(), _through_index(entity, question, asked, and_(there, not_(are_few))).subquery().select()
    )


def scan_settings(size: int) -> Select[Any]:
    """Set, for this transaction, an HNSW scan over `size` candidates that goes on until enough rows have passed the filter.

    Without it, a filter that one row in a hundred meets left 0.3 of 10 rows on average.
    """
    return select(
        func.set_config("hnsw.ef_search", str(size), True),  # noqa: FBT003 -- the third argument: for this transaction
        func.set_config("hnsw.iterative_scan", "relaxed_order", True),  # noqa: FBT003 -- likewise
    )
