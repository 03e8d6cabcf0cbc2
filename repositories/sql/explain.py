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
    return f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {compiler.process(element.statement, **options)}"


STATISTICS = text(
    "SELECT reltuples AS rows, relpages AS pages, pg_relation_size(oid) / 8192 AS pages_now FROM pg_class"
    " WHERE oid = CAST(:table_name AS regclass)"
)
"""How large a table was when it was analysed last, and is now; `rows` is -1 where it never was.

Binds: `table_name`.
"""
