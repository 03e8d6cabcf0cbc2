"""The category and the severity of each rule of the linter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from domain import Category, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

UNPARSABLE: Final = "invalid-syntax"
"""The linter's name for source that is not valid Python."""

SELECTED: Final = (
    "B",
    "BLE",
    "C90",
    "D1",
    "DTZ",
    "E",
    "F",
    "PERF",
    "PLE",
    "PLW",
    "RET",
    "S",
    "SIM",
    "W",
)
"""The linter's rules that the demo selects."""

# The longest prefix of a rule's code applies.
_GRADES: Final[Mapping[str, tuple[Severity, Category]]] = {
    UNPARSABLE: (Severity.CRITICAL, Category.CORRECTNESS),
    "B": (Severity.MEDIUM, Category.CORRECTNESS),
    "B006": (Severity.MAJOR, Category.CORRECTNESS),  # a default that calls share
    "B012": (Severity.MAJOR, Category.CORRECTNESS),  # a finally that swallows exceptions
    "B023": (Severity.MAJOR, Category.CORRECTNESS),  # a closure over a loop's variable
    "B9": (Severity.MINOR, Category.STYLE),
    "BLE": (Severity.MEDIUM, Category.CORRECTNESS),
    "C90": (Severity.MEDIUM, Category.STYLE),
    "D": (Severity.MINOR, Category.DOCUMENTATION),
    "DTZ": (Severity.MEDIUM, Category.CORRECTNESS),
    "E": (Severity.MINOR, Category.STYLE),
    "E722": (Severity.MEDIUM, Category.CORRECTNESS),  # a bare except
    "E9": (Severity.CRITICAL, Category.CORRECTNESS),
    "F": (Severity.MEDIUM, Category.CORRECTNESS),
    "F82": (Severity.MAJOR, Category.CORRECTNESS),  # a name that is not defined
    "PERF": (Severity.MEDIUM, Category.PERFORMANCE),
    "PLE": (Severity.MAJOR, Category.CORRECTNESS),
    "PLW": (Severity.MEDIUM, Category.CORRECTNESS),
    "RET": (Severity.MINOR, Category.STYLE),
    "S": (Severity.MAJOR, Category.SECURITY),
    "S101": (Severity.MINOR, Category.SECURITY),  # an assert, which `python -O` removes
    "S102": (Severity.CRITICAL, Category.SECURITY),  # exec
    "S307": (Severity.CRITICAL, Category.SECURITY),  # eval
    "S602": (Severity.CRITICAL, Category.SECURITY),  # a shell
    "SIM": (Severity.MINOR, Category.STYLE),
    "W": (Severity.MINOR, Category.STYLE),
}
_UNKNOWN: Final = (Severity.MINOR, Category.STYLE)

# The linter has no confidence. That it offers a repair shows how certain it is of a finding.
_CONFIDENCE: Final[Mapping[str, int]] = {"safe": 95, "unsafe": 85}
_NO_REPAIR: Final = 75


def grade(code: str) -> tuple[Severity, Category]:
    """Return severity and category of a rule's findings; an unknown rule is a matter of style."""
    prefixes = (code[:length] for length in range(len(code), 0, -1))
    return next((_GRADES[prefix] for prefix in prefixes if prefix in _GRADES), _UNKNOWN)


def confidence(repair: str | None) -> int:
    """Return the confidence of a finding in percent.

    Args:
        repair: how safe the linter's own repair is; None if it offers none.
    """
    return _CONFIDENCE.get(repair or "", _NO_REPAIR)
