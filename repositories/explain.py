"""Reads the output of EXPLAIN for a search."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from domain.values.plans import SearchPlan
from repositories.sql.vector import FEW_ROWS

if TYPE_CHECKING:
    from sqlalchemy import RowMapping

    from domain.schema.base import Entity

Node = Mapping[str, Any]

MANY_ROWS: Final = 10_000
"""Rows that may be read one after the other before advice is given.

About 0.1 s of comparing embeddings.
"""

SLOW_MS: Final = 100.0
_SHARD_NUMBER: Final = re.compile(r"_\d+$")
_REMOVED: Final = ("Rows Removed by Filter", "Rows Removed by Index Recheck")


def read_plan(
    entity: type[Entity],
    explained: Mapping[str, Any],
    statistics: RowMapping,
    *,
    ef_search: int | None = None,
) -> SearchPlan:
    """Return a summary of the plan.

    Args:
        explained: the JSON of EXPLAIN.
        statistics: the row that `STATISTICS` selects for the table.
        ef_search: the length of the list of candidates, if the search may use an HNSW index.
    """
    table: str = entity.__table__.name
    explained = _plan_of_shard(explained)
    nodes = list(_executed(explained["Plan"]))
    indexes = tuple(
        sorted(
            {
                name
                for node in nodes
                if not (name := node.get("Index Name", "pg_")).startswith("pg_")
            }
        )
    )
    by_vector = {node["Index Name"] for node in nodes if _is_hnsw_scan(node)}
    exact = not by_vector
    milliseconds = explained["Planning Time"] + explained["Execution Time"]
    advice = [*_about_statistics(table, statistics), *_about_nodes(table, by_vector, nodes)]
    if not advice and milliseconds >= SLOW_MS:
        advice.append(
            "nothing stands out in the plan: look at the server's load, and whether"
            f" {table} fits into its memory"
        )
    return SearchPlan(
        searched=table,
        indexes=indexes,
        rows_examined=sum(_examined(node) for node in nodes if node.get("Relation Name") == table),
        milliseconds=milliseconds,
        exact=exact,
        ef_search=None if exact else ef_search,
        advice=tuple(dict.fromkeys(advice)),
    )


def _plan_of_shard(explained: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the plan of the shard that Citus sent the statement to, with the tables' own names."""
    query = explained["Plan"].get("Distributed Query")
    if query is None:
        return explained
    [task] = query["Job"]["Tasks"]
    [[remote]] = task["Remote Plan"]
    milliseconds = {name: explained[name] for name in ("Planning Time", "Execution Time")}
    return {"Plan": _without_shard_number(remote["Plan"]), **milliseconds}


def _without_shard_number(node: Node) -> Node:
    names = {
        name: _SHARD_NUMBER.sub("", node[name])
        for name in ("Relation Name", "Index Name")
        if name in node
    }
    return {**node, **names, "Plans": list(map(_without_shard_number, node.get("Plans", ())))}


def _returned(node: Node) -> float:
    # Figures are means over the loops of a node.
    return float(node["Actual Rows"] * node["Actual Loops"])


def _executed(node: Node) -> Iterator[Node]:
    if node["Actual Loops"]:
        yield node
    for child in node.get("Plans", ()):
        yield from _executed(child)


def _is_hnsw_scan(node: Node) -> bool:
    # Only the HNSW indexes of the library return rows in the order of an operator.
    return "Index Name" in node and "Order By" in node


def _removed(node: Node) -> float:
    return float(sum(node.get(reason, 0) for reason in _REMOVED) * node["Actual Loops"])


def _examined(node: Node) -> int:
    return round(_returned(node) + _removed(node))


def _about_statistics(table: str, statistics: RowMapping) -> Iterator[str]:
    if statistics["pages_now"] and statistics["rows"] < 0:
        yield f"run ANALYZE {table}: it never was, and plans are guesses"
    elif statistics["pages_now"] > 2 * statistics["pages"] + 100:
        yield f"run ANALYZE {table}: it is more than twice as large as when it was last"


def _about_nodes(table: str, by_vector: set[str], nodes: list[Node]) -> Iterator[str]:
    for node in nodes:
        examined, returned = _examined(node), _returned(node)
        if (
            node["Node Type"] == "Seq Scan"
            and node["Relation Name"] == table
            and examined >= MANY_ROWS
        ):
            yield (
                f"{examined:,} rows were read one after the other: filter by columns that have an"
                " index, or by equality in metadata; of distances, only cosine has one"
            )
        if node.get("Index Name") in by_vector and _removed(node) > 10 * max(1, returned):
            yield (
                f"the index handed over {examined:,} rows to find {returned:,.0f} that meet the"
                f" filter: narrow it to {FEW_ROWS:,} rows, which are compared one by one, or make a"
                " partial index for it"
            )
        if node.get("Sort Space Type") == "Disk" or node.get("Lossy Heap Blocks", 0) > 0:
            yield "raise work_mem: a sort went to disk, or a bitmap was too large to know its rows"
