"""Statements that select the nearest rows by vector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    CTE,
    ColumnElement,
    Float,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
    union_all,
)

from domain.schema.columns import EmbeddingColumn
from domain.values.numbers import INT32_MAX
from domain.values.search import DISTINCT_CANDIDATES, DISTINCT_ROWS, Distance, arm_depth
from repositories.sql.ctes import materialized
from repositories.sql.rows import tenant_bind
from repositories.sql.vector_index import SEARCHED_LIVE, Graph, IndexForm

if TYPE_CHECKING:
    from domain.schema.base import Entity

OPERATORS: Final = {Distance.COSINE: "<=>", Distance.L2: "<->", Distance.INNER_PRODUCT: "<#>"}

MAX_EF_SEARCH: Final = 1_000
"""The longest list of candidates that pgvector allows."""

FEW_ROWS: Final = 4_000
"""Up to this many rows that meet a filter are compared one by one.

The result is exact. At 11 µs a row it is faster than an index that skips the other rows.
"""

FEW_COMPONENTS: Final = 4_000_000
"""Up to this many components of a tenant without an index of its own are compared one by one.

That takes up to 45 ms. An index that all tenants share has to skip the rows of the others, which
takes as long and misses rows.
"""

# Half precision and single bits are less exact: more candidates are ranked again by the embeddings.
_MIN_CANDIDATES: Final = {IndexForm.VECTOR: 0, IndexForm.HALFVEC: 200, IndexForm.BIT: 400}

EMBEDDING = bindparam("embedding", type_=EmbeddingColumn(), required=True)
"""The query vector, bound when the statement is executed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The way to read the nearest `limit` rows by `metric`.

    The scan uses an HNSW index if one serves the tenant, and otherwise compares all rows of the
    tenant that meet the filter. A `distinct` scan returns the nearest row of each text.
    """

    limit: int
    dimensions: int
    ef_search: int
    metric: Distance = Distance.COSINE
    graph: Graph = Graph.SHARED
    distinct: bool = False

    @property
    def form(self) -> IndexForm:
        """The form of the index that serves the scan."""
        return IndexForm.for_dimensions(self.dimensions)

    @property
    def indexed(self) -> bool:
        """Whether an HNSW index serves the scan; only cosine distance has one."""
        return self.graph is not Graph.NONE and self.metric is Distance.COSINE

    @property
    def candidates(self) -> int:
        """How many rows of the index are ranked by their true distance."""
        if self.distinct:
            return max(DISTINCT_CANDIDATES, self.limit)
        if self.form is IndexForm.VECTOR:
            return self.limit
        return min(MAX_EF_SEARCH, max(_MIN_CANDIDATES[self.form], 4 * self.limit))

    @property
    def first_candidates(self) -> int:
        """How many candidates a distinct scan reads first; it stops if they have enough texts."""
        return (2 if self.form is IndexForm.VECTOR else 4) * arm_depth(self.limit)

    @property
    def few_rows(self) -> int:
        """The number of a tenant's rows up to which all are compared, without a filter.

        Only large tenants have an index of their own, so their rows are not counted.
        """
        if self.graph is Graph.OWN:
            return self.limit
        return max(self.limit, min(FEW_ROWS, FEW_COMPONENTS // self.dimensions))

    @property
    def size(self) -> int:
        """The length of the scan's list of candidates, constant up to the stable limit.

        `LIMIT 100` over a list of 40 returned 40 rows.
        """
        return min(MAX_EF_SEARCH, max(self.ef_search, 2 * arm_depth(self.limit)))

    def without_filter(self, limit: int) -> Scan:
        """Return the scan of a search by vector alone, without a filter, for `limit` rows.

        An HNSW index of the tenant's rows alone returns its list of candidates in order, so the
        first rows are the same however many are ranked. Each further row costs about 20 µs with
        1,024 dimensions, because its embedding is read and compared again.
        """
        if self.distinct or self.graph is Graph.SHARED or self.form is not IndexForm.VECTOR:
            return self
        return replace(self, limit=limit)


def nearest(entity: type[Entity], scan: Scan, condition: ColumnElement[bool] | None) -> CTE:
    """Return the tenant's nearest rows that meet the condition, ranked, ties by id.

    The columns are `id`, `distance`, `exact`, `rank`, `text_hash` and `bounded`. `exact` is true if
    the rows were compared one by one: without an HNSW index, if at most `FEW_ROWS` rows
    meet the condition (an index that skips the others has a recall of 0.63 for rows far from the
    query), and if the index returns too few rows, as deleted rows or copies can cause. `bounded` is
    true if a distinct scan did not read all rows. Binds: `tenant`, `embedding`.
    """
    there = and_(tenant_bind(entity), true() if condition is None else condition)
    matching = _with_embedding(entity, there, limit=DISTINCT_ROWS if scan.distinct else INT32_MAX)
    if scan.indexed:
        few = scan.few_rows if condition is None else FEW_ROWS
        scanned: Any = _indexed_or_exact(entity, scan, there, matching, few=few)
    else:
        rows = _with_embedding(entity, there, limit=None).subquery("matching")
        scanned = _one_by_one(scan, rows, true(), bounded=false())
    scanned = materialized(scanned, "scanned")
    # The scan returns rows nearly in order, and candidates in another order.
    rank = func.row_number().over(order_by=(scanned.c.distance, scanned.c.id)).label("rank")
    ranked = select(scanned, rank).order_by(scanned.c.distance, scanned.c.id)
    return ranked.limit(literal_int(scan.limit)).cte("nearest")


def literal_int(value: int) -> ColumnElement[int]:
    """Return `value` as a literal.

    The planner estimates a bound LIMIT as a tenth of the table and then does not use the index.
    """
    return literal_column(str(int(value)), Integer())


def distance_between(embedding: ColumnElement[Any], metric: Distance) -> ColumnElement[float]:
    """Return the distance between an embedding and the query vector."""
    return embedding.op(OPERATORS[metric], return_type=Float())(EMBEDDING)


def _columns(
    rows: Any, distance: ColumnElement[float], *, exact: bool, bounded: ColumnElement[bool]
) -> list[ColumnElement[Any]]:
    return [
        rows.id,
        distance.label("distance"),
        literal_column(str(exact).lower()).label("exact"),
        bounded.label("bounded"),
        rows.text_hash if "text_hash" in rows else null().label("text_hash"),
    ]


def first_of_each_text(rows: FromClause, *order: ColumnElement[Any]) -> Select[Any]:
    """Select the first row of each text in this order, with the columns of `rows`."""
    place = func.row_number().over(partition_by=rows.c.text_hash, order_by=order)
    numbered = select(*rows.c, place.label("copy")).subquery("numbered")
    columns: list[ColumnElement[Any]] = [column for column in numbered.c if column.key != "copy"]
    return select(*columns).where(numbered.c.copy == literal_int(1))


def _one_by_one(
    scan: Scan, rows: FromClause, condition: ColumnElement[bool], *, bounded: ColumnElement[bool]
) -> Select[Any]:
    distance = distance_between(rows.c.embedding, scan.metric)
    compared = select(*_columns(rows.c, distance, exact=True, bounded=bounded)).where(condition)
    if scan.distinct:
        measured = compared.subquery("measured")
        texts = first_of_each_text(measured, measured.c.distance, measured.c.id).subquery("texts")
        compared = select(*texts.c)
    ordered = compared.selected_columns
    return compared.order_by(ordered.distance, ordered.id).limit(literal_int(scan.limit))


def _with_embedding(
    entity: type[Entity], there: ColumnElement[bool], *, limit: int | None
) -> Select[Any]:
    columns = entity.__table__.c
    # The embedding is stored after the texts. With OFFSET 0 only rows that meet the condition are
    # searched for it: 15 ms in place of 23 ms for one row in ten of 50,000.
    names = [name for name in ("id", "embedding", "text_hash") if name in columns]
    met = select(*(columns[name] for name in names)).where(there).offset(literal_int(0))
    rows = met.subquery("met")
    selected: list[ColumnElement[Any]] = list(rows.c)
    statement = select(*selected).where(rows.c.embedding.is_not(None))
    # A bound, even one that no table reaches, makes the planner plan for the first rows.
    return statement if limit is None else statement.limit(literal_scalar(limit))


def literal_scalar(value: int) -> Any:
    """Return `value` as a subquery, which the planner does not take for a LIMIT of so many rows."""
    return select(literal_int(value)).scalar_subquery()


def through_index(
    entity: type[Entity], scan: Scan, there: ColumnElement[bool], *others: ColumnElement[Any]
) -> Select[Any]:
    """Select the nearest rows that meet `there` through an HNSW index, as `nearest` describes.

    The `others` are further columns to select.
    """
    columns = entity.__table__.c
    order = scan.form.distance(columns.embedding, EMBEDDING, scan.dimensions)
    # The planner uses a partial index for a condition that repeats its predicate.
    is_live = columns.stale.is_(False) if entity.__table__.name in SEARCHED_LIVE else true()
    condition = and_(
        there,
        is_live,
        columns.embedding.is_not(None),
        _settings(scan.size),
        _with_planner_cost(columns.embedding, scan.dimensions),
    )
    distance = distance_between(columns.embedding, scan.metric)
    selected = [*_columns(columns, distance, exact=False, bounded=false()), *others]
    rows = select(*selected).where(condition)
    rows = rows.order_by(order)
    if scan.candidates > scan.limit:
        return rows.limit(literal_int(scan.candidates))
    # Before PostgreSQL 17 a second sort key, such as the id, prevents the use of an index that
    # orders by an operator.
    return rows.fetch(literal_int(scan.limit), with_ties=True)


def _indexed_or_exact(
    entity: type[Entity], scan: Scan, there: ColumnElement[bool], matching: Select[Any], *, few: int
) -> Any:
    # A materialized CTE is read only as far as it is needed.
    rows = materialized(matching, "matching")
    first = select(rows.c.id).limit(literal_int(few + 1)).subquery("first")
    are_many = select(func.count() > literal_int(few)).select_from(first).scalar_subquery()
    indexed = materialized(through_index(entity, scan, and_(there, are_many)), "indexed")
    all_rows = select(func.count()).select_from(rows).scalar_subquery()
    bounded = all_rows >= literal_int(DISTINCT_ROWS) if scan.distinct else false()
    # A condition on a subquery alone is evaluated once, and the branch whose condition is false is
    # not executed.
    if scan.distinct:
        first_read = select(indexed.c.text_hash).limit(literal_int(scan.first_candidates))
        few_copies = _has_texts(first_read.subquery("first_read"), scan.limit)
        enough = or_(few_copies, _has_texts(indexed, scan.limit))
        read = case(
            (few_copies, literal_int(scan.first_candidates)), else_=literal_int(scan.candidates)
        )
        candidates = select(indexed).where(enough).limit(read).subquery("candidates")
        order = (candidates.c.distance, candidates.c.id)
        of_index = first_of_each_text(candidates, *order)
    else:
        counted = select(func.count() >= literal_int(scan.limit)).select_from(indexed)
        enough = counted.scalar_subquery()
        of_index = select(indexed).where(enough)
    one_by_one = _one_by_one(scan, rows, not_(enough), bounded=bounded)
    return union_all(of_index, one_by_one.subquery().select())


def _has_texts(rows: FromClause, number: int) -> ColumnElement[bool]:
    """Return whether the rows have at least so many distinct texts."""
    texts = func.count(rows.c.text_hash.distinct())
    return select(texts >= literal_int(number)).select_from(rows).scalar_subquery()


def _with_planner_cost(embedding: ColumnElement[Any], dimensions: int) -> ColumnElement[bool]:
    """Return a condition that is true for every embedding and shows the planner its cost.

    The planner takes an embedding that is stored out of line for as cheap to read as an integer. It
    sorted 8,000 rows of 1,024 dimensions in 100 ms when the index took 2.5 ms. The second part
    costs as much as the comparison, 11 µs for 1,024 dimensions, and is never evaluated.
    """
    steps = func.generate_series(literal_int(1), literal_int(1 + dimensions // 3)).table_valued(
        "step"
    )
    price = select(func.count()).select_from(steps).where(embedding.is_(None)).scalar_subquery()
    return or_(embedding.is_not(None), price > literal_int(0))


def _settings(size: int) -> ColumnElement[bool]:
    """Return a true condition that sets up the HNSW scans of this transaction when it is evaluated.

    The scan has a list of `size` candidates and continues until enough rows pass the filter.
    Without that, a filter that 1 % of the rows meet returned 0.3 of 10 rows on average. A separate
    statement would cost a round trip.
    """
    settings = {"hnsw.ef_search": size, "hnsw.iterative_scan": "relaxed_order"}
    # These values are the same for every search of this shape, so they are not bound.
    calls = [
        func.set_config(*map(literal_column, (f"'{name}'", f"'{value}'", "true")))
        for name, value in settings.items()
    ]
    return select(func.num_nonnulls(*calls) == literal_int(len(calls))).scalar_subquery()
