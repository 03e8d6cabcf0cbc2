"""Rules for the text of statements, without which they do not run on the shards of Citus.

Each rule returns what is wrong with a statement, or None. They read the SQL that the library
generates, and do not parse other SQL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final

from domain.schema.registries import tenant_table_names

Rule = Callable[[str, Collection[str]], "str | None"]

STATEMENT_SETTINGS: Final = frozenset({"hnsw.ef_search", "hnsw.iterative_scan"})
"""Settings that a statement sets for its own scans, on the shard that it runs on."""

COORDINATOR_SETTINGS: Final = frozenset({"work_mem", "statement_timeout", "row_security"})
"""Settings that matter on the node of the session, which sorts staged rows."""

_RELATION: Final = re.compile(r"\b(?:FROM|JOIN|UPDATE|INTO)\s+(?:ONLY\s+)?([\w.]+)", re.IGNORECASE)
_FUNCTION: Final = re.compile(r"(\w+)\s*\(")
_COLUMN: Final = re.compile(r"\b[a-z_]\w*\.\w+")
_SETTING: Final = re.compile(r"set_config\(\s*'([^']+)'", re.IGNORECASE)


def relations(statement: str) -> set[str]:
    """Return the names of the relations that the statement reads or writes."""
    return set(_RELATION.findall(statement))


def catalog_beside_tenants(statement: str, _: Collection[str]) -> str | None:
    names = relations(statement)
    catalogs = {
        name for name in names if name.startswith("pg_") and not name.startswith("pg_temp.")
    }
    beside = catalogs and names & set(tenant_table_names())
    return f"{min(catalogs)} is read beside {min(beside)}" if beside else None


def written_by_place(statement: str, _: Collection[str]) -> str | None:
    writes = re.search(r"\b(?:UPDATE|DELETE FROM)\s", statement)
    return "ctid in UPDATE or DELETE" if writes and re.search(r"\bctid\b", statement) else None


def selected_nothing(statement: str, _: Collection[str]) -> str | None:
    return "SELECT without columns" if re.search(r"\bSELECT\s+FROM\b", statement) else None


def clock_in_replacement(statement: str, immutable: Collection[str]) -> str | None:
    _, separator, replacement = statement.partition("DO UPDATE SET")
    calls = _calls(_without_subqueries(replacement)) - set(immutable)
    return f"{min(calls)}() in DO UPDATE SET" if separator and calls else None


def clock_in_case_of_update(statement: str, immutable: Collection[str]) -> str | None:
    if not statement.lstrip().startswith("UPDATE"):
        return None
    assigned = re.split(r"\bWHERE\b", _without_subqueries(statement.partition(" SET ")[2]))[0]
    for part in _conditional(assigned):
        calls = _calls(part) - set(immutable) - {"coalesce"}
        if calls:
            return f"{min(calls)}() in CASE or COALESCE of UPDATE"
    return None


def stable_function_of_column(statement: str, immutable: Collection[str]) -> str | None:
    if not re.match(r"\s*(?:UPDATE|DELETE FROM)\s", statement):
        return None
    own = _without_subqueries(statement)
    for name in sorted(_calls(own) - set(immutable)):
        for match in re.finditer(rf"\b{name}\(", own, re.IGNORECASE):
            if column := _COLUMN.search(_argument(own, match.end())):
                return f"{name}() of {column[0]}, a function that is not IMMUTABLE"
    return None


def moved_timestamp(statement: str, _: Collection[str]) -> str | None:
    writes = re.match(r"\s*(?:UPDATE|DELETE FROM)\s", statement)
    moved = re.search(r"(\w+\.\w+) [-+] (?:\$\d+|%\(\w+\)s)::INTERVAL", statement)
    return f"an interval is added to {moved[1]}, a STABLE operator" if writes and moved else None


def uncounted_insert(statement: str, _: Collection[str]) -> str | None:
    into = statement.startswith("INSERT INTO") and re.search(r"\bSELECT\b", statement)
    skips = "DO NOTHING" in statement and "RETURNING" not in statement
    return "INSERT … SELECT … DO NOTHING without RETURNING" if into and skips else None


def setting_for_later(statement: str, _: Collection[str]) -> str | None:
    if "set_config(" not in statement:
        return None
    names = set(_SETTING.findall(statement))
    unknown = names - STATEMENT_SETTINGS - COORDINATOR_SETTINGS
    if unknown:
        return f"set_config of {min(unknown)}: write SET LOCAL, which Citus passes on"
    return None


def moved_to_another_tenant(statement: str, _: Collection[str]) -> str | None:
    updates = re.findall(r"\bSET\s(.*?)(?:\bWHERE\b|\bRETURNING\b|$)", statement, re.DOTALL)
    if any(re.search(r"(?:^|,\s*)tenant\s*=", assigned.strip()) for assigned in updates):
        return "the tenant is assigned"
    return None


RULES: Final[tuple[Rule, ...]] = (
    catalog_beside_tenants,
    written_by_place,
    selected_nothing,
    clock_in_replacement,
    clock_in_case_of_update,
    stable_function_of_column,
    moved_timestamp,
    uncounted_insert,
    setting_for_later,
    moved_to_another_tenant,
)


def problems(statement: str, immutable: Collection[str]) -> list[str]:
    """Return what is wrong with the statement.

    Args:
        statement: the statement.
        immutable: names of the functions of which every overload is IMMUTABLE.
    """
    return [problem for rule in RULES if (problem := rule(statement, immutable)) is not None]


def _calls(text: str) -> set[str]:
    keywords = {"in", "values", "and", "or", "not", "any", "all", "array", "when", "then", "else"}
    types = {"cast", "numeric", "vector", "halfvec", "varchar", "bit"}
    return {name.lower() for name in _FUNCTION.findall(text)} - keywords - types


def _without_subqueries(text: str) -> str:
    parts, depth, begin = [], 0, 0
    for match in re.finditer(r"\(\s*SELECT\b|\(|\)", text):
        if depth == 0:
            if match[0] in "()":
                continue
            parts.append(text[begin : match.start()])
            depth = 1
            continue
        depth += -1 if match[0] == ")" else 1
        if depth == 0:
            begin = match.end()
    return "".join([*parts, text[begin:] if depth == 0 else ""])


def _conditional(text: str) -> Iterator[str]:
    yield from re.findall(r"\bCASE\b.*?\bEND\b", text, re.DOTALL | re.IGNORECASE)
    for match in re.finditer(r"\bcoalesce\(", text, re.IGNORECASE):
        yield _argument(text, match.end())


def _argument(text: str, begin: int) -> str:
    """Return what follows up to the closing bracket."""
    depth, end = 1, begin
    while depth and end < len(text):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    return text[begin:end]
