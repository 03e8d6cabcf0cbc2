"""CHECK constraints and the predicates of partial indexes, evaluated from their own text.

An entity's are conjunctions of a few plain forms. Reading them, instead of writing each rule a
second time, keeps a fake from drifting away from the schema; a form that is not known here is
refused when the fake is made.
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
Condition: TypeAlias = Callable[[Row], bool | None]

_CLAUSE: Final = re.compile(
    r"""
    (?P<subject> \w+ | vector_norm\(\w+\) )
    (?: \ IN\ \((?P<words>[^()]*)\)
      | \ BETWEEN\ (?P<low>\S+)\ AND\ (?P<high>\S+)
      | \ (?P<comparison> >= | <= | > | < | = )\ (?P<other>\S+)
      | \ (?P<given>IS\ NOT\ NULL)
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


def read_condition(sql: str) -> Condition:
    """Return what the condition's text says of a row: true, false, or None where a missing value
    leaves it unknown.

    Raises:
        UnexpectedFailure: the text has a form that the fakes cannot evaluate.
    """
    clauses = tuple(_clauses(sql))

    def condition(row: Row) -> bool | None:
        found = {clause(row) for clause in clauses}
        return False if False in found else (None if None in found else True)

    return condition


def _clauses(sql: str) -> Iterator[Condition]:
    position = 0
    while position < len(sql):
        found = _CLAUSE.match(sql, position)
        if found is None:
            raise UnexpectedFailure(f"the fakes cannot evaluate the condition ({sql})")
        yield from _clause(found)
        position = found.end()


def _clause(found: re.Match[str]) -> Iterator[Condition]:
    subject = _operand(found["subject"])
    if found["given"]:
        yield lambda row: subject(row) is not None
    elif found["words"] is not None:
        words = frozenset(re.findall(r"'([^']*)'", found["words"]))
        yield lambda row: None if (value := subject(row)) is None else value in words
    elif found["low"]:
        yield _compared(subject, ">=", found["low"])
        yield _compared(subject, "<=", found["high"])
    else:
        yield _compared(subject, found["comparison"], found["other"])


def _compared(subject: Operand, comparison: str, text: str) -> Condition:
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
