"""CHECK constraints and the predicates of partial indexes, evaluated from their own text.

The conditions of entities are conjunctions of a few plain forms. The fakes read them instead of
repeating each rule, so that they follow the schema. An unknown form raises when the fake is
created.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

from domain.errors import UnexpectedFailure

Row: TypeAlias = Mapping[str, Any]
Operand: TypeAlias = Callable[[Row], Any]
Check: TypeAlias = Callable[[Row], bool | None]
"""Whether a row meets a CHECK or a predicate; None if a missing value leaves it unknown."""

_CLAUSE: Final = re.compile(
    r"""
    (?P<subject> \w+ | vector_norm\(\w+\) )
    (?: \ IN\ \((?P<words>[^()]*)\)
      | \ BETWEEN\ (?P<low>\S+)\ AND\ (?P<high>\S+)
      | \ (?P<comparison> >= | <= | > | < | = )\ (?P<other>\S+)
      | \ (?P<not_null>IS\ NOT\ NULL)
    )
    (?: \ AND\  | $ )
    """,
    re.VERBOSE,
)
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


def read_check(sql: str) -> Check:
    """Return the condition as a function of a row.

    The function returns None if a missing value leaves the result unknown.

    Raises:
        UnexpectedFailure: the text has a form that the fakes cannot evaluate.
    """
    clauses = tuple(_clauses(sql))

    def condition(row: Row) -> bool | None:
        results = {clause(row) for clause in clauses}
        return False if False in results else (None if None in results else True)

    return condition


def _clauses(sql: str) -> Iterator[Check]:
    position = 0
    while position < len(sql):
        match = _CLAUSE.match(sql, position)
        if match is None:
            raise UnexpectedFailure(f"the fakes cannot evaluate the condition ({sql})")
        yield from _clause(match)
        position = match.end()


def _clause(match: re.Match[str]) -> Iterator[Check]:
    subject = _operand(match["subject"])
    if match["not_null"]:
        yield lambda row: subject(row) is not None
    elif match["words"] is not None:
        words = frozenset(re.findall(r"'([^']*)'", match["words"]))
        yield lambda row: None if (value := subject(row)) is None else value in words
    elif match["low"]:
        yield _compared(subject, ">=", match["low"])
        yield _compared(subject, "<=", match["high"])
    else:
        yield _compared(subject, match["comparison"], match["other"])


def _compared(subject: Operand, comparison: str, text: str) -> Check:
    holds, other = _COMPARISONS[comparison], _operand(text)

    def condition(row: Row) -> bool | None:
        left, right = subject(row), other(row)
        return None if left is None or right is None else holds(left, right)

    return condition


def _operand(text: str) -> Operand:
    if text.startswith("vector_norm("):
        column = text[len("vector_norm(") : -1]
        return lambda row: None if row[column] is None else math.hypot(*row[column].to_list())
    if text[0].isalpha() or text[0] == "_":
        return lambda row: row[text]
    number = Decimal(text)
    return lambda _: number
