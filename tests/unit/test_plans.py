"""Search plans from the output of EXPLAIN, and their advice."""

from __future__ import annotations

from typing import Any, cast

import pytest
from sqlalchemy import RowMapping

from domain import KnowledgeChunk, SearchPlan
from repositories.explain import read_plan

GRAPH = "ix_knowledge_tenant_37a8eec1ce19687d"


def node(kind: str, rows: float = 10, loops: int = 1, **facts: Any) -> dict[str, Any]:
    named = {name.replace("_", " "): value for name, value in facts.items()}
    return {"Node Type": kind, "Actual Rows": rows, "Actual Loops": loops, **named}


def plan(
    *nodes: dict[str, Any], ms: float = 1.0, rows: float = 10, pages: int = 1, pages_now: int = 1
) -> SearchPlan:
    explained = {
        "Plan": {**node("Limit"), "Plans": list(nodes)},
        "Planning Time": 0.5,
        "Execution Time": ms - 0.5,
    }
    statistics = {"rows": rows, "pages": pages, "pages_now": pages_now}
    return read_plan(KnowledgeChunk, explained, cast("RowMapping", statistics))


def test_rows_are_those_of_the_table_kept_and_dropped_over_all_loops() -> None:
    search = plan(
        node("Seq Scan", rows=2.5, loops=4, Relation_Name="knowledge", Rows_Removed_by_Filter=5),
        node(
            "Bitmap Heap Scan", rows=7, Relation_Name="knowledge", Rows_Removed_by_Index_Recheck=3
        ),
        node("Seq Scan", rows=99, Relation_Name="pg_class"),
        ms=2.0,
    )
    assert (search.searched, search.rows_examined, search.milliseconds) == (
        "knowledge",
        10 + 20 + 10,
        2.0,
    )


def test_what_was_not_executed_does_not_count() -> None:
    search = plan(node("Index Scan", rows=0, loops=0, Relation_Name="knowledge", Index_Name=GRAPH))
    assert (search.indexes, search.exact, search.rows_examined) == ((), True, 0)


def test_a_graph_that_was_used_makes_the_answer_approximate() -> None:
    search = plan(
        node(
            "Index Scan", Relation_Name="knowledge", Index_Name=GRAPH, Order_By="(embedding <=> $1)"
        ),
        node("Bitmap Index Scan", Index_Name="ix_knowledge_search_vector"),
        node("Index Scan", Relation_Name="pg_class", Index_Name="pg_class_oid_index"),
    )
    assert (search.indexes, search.exact, search.advice) == (
        ("ix_knowledge_search_vector", GRAPH),
        False,
        (),
    )


@pytest.mark.parametrize(
    ("search", "advice"),
    [
        (plan(node("Seq Scan", rows=10, Relation_Name="knowledge")), ()),
        (
            plan(node("Seq Scan", rows=10_000, Relation_Name="knowledge")),
            ("10,000 rows were read one after the other",),
        ),
        (plan(rows=-1), ("run ANALYZE knowledge: it never was",)),
        (plan(rows=-1, pages=0, pages_now=0), ()),
        (plan(pages=100, pages_now=301), ("run ANALYZE knowledge: it is more than twice",)),
        (
            plan(
                node(
                    "Index Scan",
                    Relation_Name="knowledge",
                    Index_Name=GRAPH,
                    Order_By="(embedding <=> $1)",
                    Rows_Removed_by_Filter=990,
                )
            ),
            ("the index handed over 1,000 rows to find 10",),
        ),
        (plan(node("Sort", Sort_Space_Type="Disk")), ("raise work_mem",)),
        (plan(node("Bitmap Heap Scan", Lossy_Heap_Blocks=1)), ("raise work_mem",)),
        (plan(ms=100.0), ("nothing stands out",)),
        (plan(rows=-1, ms=100.0), ("run ANALYZE",)),
    ],
)
def test_advice_follows_from_what_the_plan_shows(
    search: SearchPlan, advice: tuple[str, ...]
) -> None:
    assert len(search.advice) == len(advice)
    for sentence, begins in zip(search.advice, advice, strict=True):
        assert sentence.startswith(begins)


def test_the_plan_of_citus_is_that_of_the_shard_with_the_names_of_the_tables() -> None:
    # As Citus 14.0.1 reported it, without costs, buffers and figures of the network.
    scan = node(
        "Index Scan",
        rows=3,
        Relation_Name="knowledge_102049",
        Index_Name=f"{GRAPH}_102049",
        Order_By="(embedding <=> '[1,1,1,1,1,1,1,1]'::vector)",
    )
    remote = {
        "Plan": {**node("Limit", rows=3), "Plans": [scan]},
        "Planning Time": 0.765,
        "Execution Time": 0.06,
    }
    job = {
        "Task Count": 1,
        "Tasks Shown": "All",
        "Tasks": [{"Node": "host=127.0.0.1 port=5511 dbname=recollect", "Remote Plan": [[remote]]}],
    }
    explained = {
        "Plan": {
            **node("Custom Scan", rows=0.0),
            "Custom Plan Provider": "Citus Adaptive",
            "Distributed Query": {"Job": job},
        },
        "Planning Time": 0.5,
        "Execution Time": 13.0,
    }
    statistics = {"rows": -1, "pages": 0, "pages_now": 0}
    search = read_plan(KnowledgeChunk, explained, cast("RowMapping", statistics))
    assert search == SearchPlan(
        searched="knowledge",
        indexes=(GRAPH,),
        rows_examined=3,
        milliseconds=13.5,
        exact=False,
        ef_search=None,
        advice=(),
    )
