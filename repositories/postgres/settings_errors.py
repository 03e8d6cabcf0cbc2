"""Says what is wrong with a setting that pydantic refused, and what to write instead."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from domain.errors import ConfigurationError
from repositories.postgres.settings_types import LONGEST, NO_LIMIT

if TYPE_CHECKING:
    from pydantic import ValidationError

_SECONDS: Final = "write a number of seconds, or a timedelta in code"
_BY_KIND: Final = {
    "bool_parsing": "write true or false",
    "bool_type": "write true or false",
    "float_parsing": "write a number",
    "float_type": "write a number",
    "int_from_float": "write a whole number",
    "int_parsing": "write a whole number",
    "int_type": "write a whole number",
    "string_too_short": "write at least {min_length} characters",
    "string_too_long": "write at most {max_length} characters",
    "string_type": "write a string",
    "time_delta_parsing": _SECONDS,
    "time_delta_type": _SECONDS,
    "enum": "write {expected}",
    "literal_error": "write {expected}",
    "greater_than": "write more than {gt}",
    "greater_than_equal": "write {ge} or more",
    "less_than": "write less than {lt}",
    "less_than_equal": "write at most {le}",
}
# pydantic names a duration by its repr.
_DURATIONS: Final = {
    f"{limit!r}": f"{limit.total_seconds():,.15g} seconds" for limit in (NO_LIMIT, LONGEST)
}
_BY_PATTERN: Final = {
    "tenant": "a tenant is 1 to 100 ASCII letters, digits, dots, underscores and hyphens",
    "search_path": "write names of schemas in lower-case letters, digits and underscores, separated"
    " by commas, such as app, public",
    "language": "write the name of a text search configuration, such as english or simple",
}


def explained(error: ValidationError, settings: Iterable[str]) -> ConfigurationError:
    """Return an error that names the settings that pydantic refused, without their values.

    Args:
        error: what pydantic raised.
        settings: the names of all settings, among which a misspelt one is looked for.
    """
    names = list(settings)
    reasons: list[tuple[str, str]] = []
    for detail in error.errors(include_url=False, include_input=False):
        context = detail.get("ctx", {})
        cause = context.get("error")
        if isinstance(cause, ConfigurationError):
            return ConfigurationError(str(cause), setting=cause.setting)
        if detail["type"] == "default_factory_not_called":  # a consequence of another one
            continue
        name = str(detail["loc"][0]) if detail["loc"] else "settings"
        if detail["type"] == "extra_forbidden":
            reasons.append((name, _unknown(name, names)))
        elif detail["type"] == "string_pattern_mismatch" and name in _BY_PATTERN:
            reasons.append((name, _BY_PATTERN[name]))
        elif detail["type"] in _BY_KIND:
            limits = {key: _shown(value) for key, value in context.items()}
            reasons.append((name, _BY_KIND[detail["type"]].format(**limits)))
        else:
            reasons.append((name, detail["msg"].removeprefix("Value error, ")))
    return ConfigurationError(
        "; ".join(f"{name}: {reason}" for name, reason in reasons), setting=reasons[0][0]
    )


def _unknown(name: str, settings: list[str]) -> str:
    # A URL is the argument `url`, under whatever name other libraries have it.
    names = ["url"] if name.endswith("url") else get_close_matches(name, settings, 1)
    return "unknown setting" + (f": did you mean {names[0]}?" if names else "")


def _shown(limit: object) -> str:
    if isinstance(limit, int | float):
        return f"{limit:,.15g}"
    return _DURATIONS.get(f"{limit}", f"{limit}")
