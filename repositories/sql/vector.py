"""Nearest rows by vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    Integer,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)

from domain.schema.columns import EmbeddingColumn
from domain.values.numbers import INT32_MAX
from domain.values.search import Distance
from repositories.sql.rows import tenant_bind
from repositories.sql.vector_index import IndexForm

if TYPE_CHECKING:
    from domain.schema.base import Entity

OPERATORS = {Distance.COSINE: "<=>", Distance.L2: "<->", Distance.INNER_PRODUCT: "<#>"}

MAX_EF_SEARCH = 1_000
"""pgvector's largest list of candidates."""

FEW_ROWS = 4_000
"""Up to so many matching rows are compared one by one.

Perfect, and at 11 µs a row faster than an index that skips the rest.
"""

# Half precision and single bits are less exact, so that more candidates are ranked again by the
# embeddings themselves.
_MIN_CANDIDATES = {IndexForm.VECTOR: 0, IndexForm.HALFVEC: 200, IndexForm.BIT: 400}

EMBEDDING = bindparam("embedding", type_=EmbeddingColumn(), required=True)
"""What is asked for; given when the statement is executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """How the nearest `limit` rows by `metric` are looked for.

    Through the index of `dimensions` or, `exact`, past it.
    """

    limit: int
    dimensions: int
    ef_search: int
    metric: Distance = Distance.COSINE
    exact: bool = False

    @property
    def form(self) -> IndexForm:
        """The form of the index that serves the scan."""
        return IndexForm.for_dimensions(self.dimensions)

    @property
    def indexed(self) -> bool:
        """Whether an index serves the scan; there is one for cosine alone."""
        return not self.exact and self.metric is Distance.COSINE

    @property
    def candidates(self) -> int:
        """How many rows the index hands over to be ranked by their true distance."""
        return (
            self.limit
            if self.form is IndexForm.VECTOR
            else min(MAX_EF_SEARCH, max(_MIN_CANDIDATES[self.form], 4 * self.limit))
        )

    @property
    def size(self) -> int:
        """The length of the scan's list of candidates.

        `LIMIT 100` over a list of 40 gave 40 rows.
        """
        return min(MAX_EF_SEARCH, max(self.ef_search, 2 * self.limit, self.candidates))


def nearest(entity: type[Entity], scan: Scan, condition: ColumnElement[bool] | None) -> CTE:
    """Return ids and distances of the tenant's nearest rows that meet the condition, ranked, ties
    by id.

    `exact` tells which way it went. With a condition, up to `FEW_ROWS` rows that meet it are
    compared one by one; an index that has to skip the others finds rows far from the query with a
    recall of 0.63. Binds: `tenant`, `embedding`.
    """
    there = and_(tenant_bind(entity), true() if condition is None else condition)
    if not scan.indexed:
        those = _with_embedding(entity, there).subquery("those")
        distance = distance_between(those.c.embedding, scan.metric)
        scanned: Any = _one_by_one(those.c.id, distance, true(), limit=scan.limit)
    elif condition is None:
        scanned = _through_index(entity, scan, there)
    else:
        scanned = _few_or_index(entity, scan, there)
    found = scanned.cte("scanned").prefix_with("MATERIALIZED", dialect="postgresql")
    # The scan hands rows over nearly in order, and candidates in another one: they are ranked here.
    rank = func.row_number().over(order_by=(found.c.distance, found.c.id)).label("rank")
    ranked = select(found.c.id, found.c.distance, found.c.exact, rank)
    return (
        ranked.order_by(found.c.distance, found.c.id).limit(literal_int(scan.limit)).cte("nearest")
    )


def literal_int(value: int) -> ColumnElement[int]:
    """Return `value` as a literal.

    The planner takes a bound LIMIT for a tenth of the table, and gives the index up.
    """
    return literal_column(str(int(value)), Integer())


def distance_between(embedding: ColumnElement[Any], metric: Distance) -> ColumnElement[float]:
    """Return the distance of an embedding from the one asked for: pgvector's operator."""
    return embedding.op(OPERATORS[metric], return_type=Float())(EMBEDDING)


def _columns(
    key: ColumnElement[Any], distance: ColumnElement[float], exact: str
) -> list[ColumnElement[Any]]:
    return [key, distance.label("distance"), literal_column(exact).label("exact")]


def _one_by_one(
    key: ColumnElement[Any],
    distance: ColumnElement[float],
    condition: ColumnElement[bool],
    *,
    limit: int,
) -> Select[Any]:
    return (
        select(*_columns(key, distance, "true"))
        .where(condition)
        .order_by(distance, key)
        .limit(literal_int(limit))
    )


def _with_embedding(entity: type[Entity], there: ColumnElement[bool]) -> Select[Any]:
    columns = entity.__table__.c
    # The embedding lies behind the texts. Under OFFSET 0 it is looked for in rows that meet the
    # condition alone: 15 ms, not 23, for one row in ten of 50,000.
    both: list[ColumnElement[Any]] = [columns.id, columns.embedding]
    met = select(*both).where(there).offset(literal_int(0)).subquery("met")
    found: list[ColumnElement[Any]] = [met.c.id, met.c.embedding]
    return select(*found).where(met.c.embedding.is_not(None))


def _through_index(entity: type[Entity], scan: Scan, there: ColumnElement[bool]) -> Select[Any]:
    columns = entity.__table__.c
    order = scan.form.distance(columns.embedding, EMBEDDING, scan.dimensions)
    condition = and_(
        there,
        columns.embedding.is_not(None),
        _settings(scan.size),
        _with_planner_cost(columns.embedding, scan.dimensions),
    )
    distance = distance_between(columns.embedding, scan.metric)
    found = select(*_columns(columns.id, distance, "false")).where(condition).order_by(order)
    if scan.candidates > scan.limit:
        return found.limit(literal_int(scan.candidates))
    # Before PostgreSQL 17 a second sort key, as the id of a tie, keeps a query from an index that
    # orders by an operator.
    return found.fetch(literal_int(scan.limit), with_ties=True)


def _few_or_index(entity: type[Entity], scan: Scan, there: ColumnElement[bool]) -> Any:
    # What is named is read as far as somebody asks for it. The bound is none, and has the planner
    # think of the first rows.
    matching = (
        _with_embedding(entity, there)
        .limit(select(literal_int(INT32_MAX)).scalar_subquery())
        .cte("matching")
    )
    matching = matching.prefix_with("MATERIALIZED", dialect="postgresql")
    few = select(matching.c.id).limit(literal_int(FEW_ROWS + 1)).subquery("few")
    are_many = select(func.count() > FEW_ROWS).select_from(few).scalar_subquery()
    indexed = _through_index(entity, scan, and_(there, are_many)).cte("indexed")
    indexed = indexed.prefix_with("MATERIALIZED", dialect="postgresql")
    # A condition on a subquery alone is decided once: the branch that does not hold is not
    # executed.
    enough = select(func.count() >= literal_int(scan.limit)).select_from(indexed).scalar_subquery()
    distance = distance_between(matching.c.embedding, scan.metric)
    one_by_one = _one_by_one(matching.c.id, distance, not_(enough), limit=scan.limit)
    return union_all(select(indexed).where(enough), one_by_one.subquery().select())


def _with_planner_cost(embedding: ColumnElement[Any], dimensions: int) -> ColumnElement[bool]:
    """Return a condition that holds where there is an embedding, and tells the planner what
    comparing one costs.

    It takes one that is kept out of line for as cheap to read as a literal_int, and sorted 8,000 of
    1,024 dimensions in 100 ms where the index took 2.5 ms. The second part is priced like the
    comparison, 11 µs for 1,024 dimensions, row by row, and never decided.
    """
    steps = func.generate_series(literal_int(1), literal_int(1 + dimensions // 3)).table_valued(
        "step"
    )
    price = select(func.count()).select_from(steps).where(embedding.is_(None)).scalar_subquery()
    return or_(embedding.is_not(None), price > literal_int(0))


def _settings(size: int) -> ColumnElement[bool]:
    """Return a condition that holds, and that sets this transaction's HNSW scans when it is
    decided, before the scan begins.

    The scan keeps a list of `size` candidates and goes on until enough rows have passed the filter;
    without that, a filter that one row in a hundred meets left 0.3 of 10 rows on average. A
    statement of its own would cost a round trip.
    """
    settings = {"hnsw.ef_search": size, "hnsw.iterative_scan": "relaxed_order"}
    # Not bound: what is the same for every search of this shape need not be sent with each.
    made = [
        func.set_config(*map(literal_column, (f"'{name}'", f"'{value}'", "true")))
        for name, value in settings.items()
    ]
    return select(func.num_nonnulls(*made) == literal_int(len(made))).scalar_subquery()
