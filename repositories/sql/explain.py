"""The plan of a statement, as the server executes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Executable, Select, text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement

if TYPE_CHECKING:
    from sqlalchemy.sql.compiler import SQLCompiler


class Explain(Executable, ClauseElement):
    """EXPLAIN of a statement, with the statement's own binds.

    The statement is executed, and its rows are dropped.
    """

    inherit_cache = False

    def __init__(self, statement: Select[Any]) -> None:
        self.statement = statement


@compiles(Explain)
def _compile(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    # Clocks at every node would cost a statement of many small scans more than the scans
    # themselves.
    statement = compiler.process(element.statement, **options)
    return f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}"


STATISTICS = text(
    "SELECT reltuples AS rows, relpages AS pages, pg_relation_size(oid) / 8192 AS pages_now"
    " FROM pg_class WHERE oid = CAST(:table_name AS regclass)"
)
"""The size of a table when it was last analysed, and now; `rows` is -1 if it never was.

Binds: `table_name`.
"""
