"""Which form of an embedding is indexed, and the form that a search uses."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import bindparam, column
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.schema import CreateIndex

from domain.schema.columns import EmbeddingColumn
from repositories.migrations.options import SchemaOptions
from repositories.migrations.target import target_metadata, tenant_index
from repositories.sql.vector import Scan
from repositories.sql.vector_index import Graph, IndexForm

DIALECT = PGDialect()  # type: ignore[no-untyped-call]  # SQLAlchemy types no dialect


@pytest.mark.parametrize(
    ("dimensions", "form"),
    [
        (1, IndexForm.VECTOR),
        (2000, IndexForm.VECTOR),
        (2001, IndexForm.HALFVEC),
        (4000, IndexForm.HALFVEC),
        (4001, IndexForm.BIT),
        (16_000, IndexForm.BIT),
    ],
)
def test_the_form_is_the_most_exact_that_can_be_indexed(dimensions: int, form: IndexForm) -> None:
    assert IndexForm.for_dimensions(dimensions) is form


@pytest.mark.parametrize("dimensions", [-1, 0, 16_001])
def test_what_no_column_can_hold_has_no_form(dimensions: int) -> None:
    with pytest.raises(ValueError, match="1 to 16,000 dimensions"):
        IndexForm.for_dimensions(dimensions)


@pytest.mark.parametrize("form", IndexForm)
def test_a_distance_is_over_exactly_what_is_indexed(form: IndexForm) -> None:
    embedding, query = (
        column("embedding", EmbeddingColumn(8)),
        bindparam("query", type_=EmbeddingColumn()),
    )
    indexed = str(form.indexed(embedding, 8).compile(dialect=DIALECT))
    distance = str(form.distance(embedding, query, 8).compile(dialect=DIALECT))
    assert distance.startswith(f"{indexed} {'<~>' if form is IndexForm.BIT else '<=>'} ")


@pytest.mark.parametrize(
    ("dimensions", "graph", "rows"),
    [
        (1_024, Graph.SHARED, 3_906),
        (768, Graph.SHARED, 4_000),
        (16_000, Graph.SHARED, 250),
        (16_000, Graph.OWN, 100),
    ],
)
def test_wide_embeddings_of_a_tenant_without_an_index_are_compared_up_to_a_bound(
    dimensions: int, graph: Graph, rows: int
) -> None:
    scan = Scan(limit=100, dimensions=dimensions, ef_search=200, graph=graph)
    assert scan.few_rows == rows


def test_a_quote_in_the_name_of_a_tenant_ends_no_literal() -> None:
    options = SchemaOptions()
    column = target_metadata(options).tables["knowledge"].c.embedding
    index = tenant_index(column, "z' OR 'a'='a", options)
    statement = str(CreateIndex(index).compile(dialect=DIALECT))
    assert statement.endswith("WHERE tenant = 'z'' OR ''a''=''a'")


@pytest.mark.parametrize(
    ("scan", "ranked"),
    [
        ({"graph": Graph.OWN}, 5),
        ({"graph": Graph.NONE}, 5),
        ({"graph": Graph.SHARED}, 100),  # continues after the rows of other tenants, out of order
        ({"graph": Graph.OWN, "distinct": True}, 100),
        ({"graph": Graph.OWN, "dimensions": 3_000}, 100),  # ranked again by the embeddings
    ],
)
def test_a_search_without_a_filter_ranks_as_few_rows_as_its_order_allows(
    scan: dict[str, Any], ranked: int
) -> None:
    deep = Scan(**{"limit": 100, "dimensions": 8, "ef_search": 40, **scan})
    alone = deep.without_filter(5)
    assert alone.limit == ranked
    assert alone.size == deep.size == 200
