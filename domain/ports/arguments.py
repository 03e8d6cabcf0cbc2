"""Arguments of operations and databases, checked against their annotations.

Every store checks them with the same functions, before it sends a statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set, Sized
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache, partial, wraps
from importlib import import_module
from inspect import Parameter, iscoroutinefunction, signature
from itertools import islice
from os import PathLike, fsencode, fspath
from typing import Any, Final, TypeAlias
from uuid import UUID

from pydantic import ValidationError

from domain.errors import InvalidInput
from domain.values.filters import MAX_CHOICES
from domain.values.ids import require_id
from domain.values.numbers import INT32_MAX, INT64_MAX, is_number, is_whole
from domain.values.shown import kind_of, shown
from domain.values.text import storable
from domain.values.timestamps import MAX_AGE

Check: TypeAlias = Callable[[Any], Any]
"""Returns the value that the operation gets, or raises InvalidInput."""

Converter: TypeAlias = Callable[
    [tuple[Any, ...], Mapping[str, Any]], tuple[list[Any], dict[str, Any]]
]
"""Returns the arguments of a call, positional and named, as the operation gets them."""

_SEARCHED: Final = frozenset({"query", "text"})
"""Texts to search for. Characters that PostgreSQL cannot store separate words."""

_NUMBERS: Final = {
    "pr_number": (-INT32_MAX - 1, INT32_MAX),
    "comment_id": (-INT64_MAX - 1, INT64_MAX),
    "reaction_id": (-INT64_MAX - 1, INT64_MAX),
    "dimensions": (-INT32_MAX - 1, INT32_MAX),
    "ahead": (-INT32_MAX - 1, INT32_MAX),
    "attempts": (1, INT32_MAX),
    "max_queue": (-INT32_MAX - 1, INT64_MAX),
    "max_unpacked": (0, INT64_MAX),
    "memory_mb": (1, 2_000_000),
    "sample": (1, 10_000),
    "workers": (0, 1_024),
}
"""Least and greatest whole numbers of arguments; operations check the others themselves."""

_REAL_NUMBERS: Final = frozenset({"lock_timeout", "vector_weight"})
"""Other numbers; operations check scores and ages themselves."""

_STATEMENT_TIMEOUT: Final = "within"
_WAIT: Final = "wait_for"
_LONGEST: Final = {
    _STATEMENT_TIMEOUT: timedelta(days=24),
    "flush_every": MAX_AGE,
    "retry_for": MAX_AGE,
    _WAIT: MAX_AGE,
}
"""The longest durations. The server counts the milliseconds of a timeout in 32 bits."""

_CHECKED_BY_OPERATIONS: Final = frozenset({"id", "ids", "where"})


def checked(method: Callable[..., Any], port: Callable[..., Any]) -> Callable[..., Any]:
    """Return `method` with the arguments checked that `port` annotates.

    Args:
        method: the method of a store.
        port: the method of the port that it implements, or the method itself.
    """
    parameters = list(signature(port).parameters.values())[1:]
    names = {one.name for one in parameters}
    convert = _converter(parameters)
    if convert is None:
        return method
    if not iscoroutinefunction(method):

        @wraps(method)
        def checking(self: Any, *args: Any, **named: Any) -> Any:
            values, converted = convert(args, named)
            return method(self, *values, **converted)

        return checking

    @wraps(method)
    async def checking_first(self: Any, *args: Any, **named: Any) -> Any:
        values, converted = convert(args, named)
        try:
            return await method(self, *values, **converted)
        except ValidationError as error:
            if method is port:
                raise  # a function that the caller passed can raise it
            raise _invalid(error, names) from None

    return checking_first


def _converter(parameters: Sequence[Parameter]) -> Converter | None:
    """Return the function that checks the arguments of a call, or None without checks."""
    checks = {one.name: check for one in parameters if (check := _check_of(one)) is not None}
    if not checks:
        return None
    positional = [
        (one.name, checks.get(one.name))
        for one in parameters
        if one.kind is Parameter.POSITIONAL_OR_KEYWORD
    ]
    further = next(
        (checks.get(one.name) for one in parameters if one.kind is Parameter.VAR_POSITIONAL), None
    )

    def convert(args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[list[Any], Any]:
        values = list(args)
        for place, ((_, check), value) in enumerate(zip(positional, args, strict=False)):
            if check is not None:
                values[place] = check(value)
        if further is not None:
            values[len(positional) :] = map(further, values[len(positional) :])
        return values, {
            name: checks[name](value) if name in checks else value for name, value in named.items()
        }

    return convert


def _invalid(error: ValidationError, names: Set[str]) -> InvalidInput:
    """Return an entity's refusal of an argument as an error of the library.

    The entity can refuse a field that the operation derives from an argument, such as a key. The
    error names the argument.
    """
    details = error.errors(include_input=False, include_url=False)
    of_arguments = (one for one in details if one["loc"] and one["loc"][0] in names)
    first = next(of_arguments, details[0])
    field = str(first["loc"][0]) if first["loc"] else None
    message = first["msg"].removeprefix("Value error, ")
    return InvalidInput(f"{field or 'a value'}: {message}", field=field)


def _check_of(parameter: Parameter) -> Check | None:
    name, annotation = parameter.name, str(parameter.annotation)
    if annotation == "Path | str":
        return partial(_path, name)
    kinds = annotation.split(" | ")
    optional = "None" in kinds
    [kind, *others] = [one for one in kinds if one != "None"] or [""]
    if name in _CHECKED_BY_OPERATIONS or others:
        return None
    if kind == "int":
        check: Check | None = partial(_number, name, *_NUMBERS[name]) if name in _NUMBERS else None
    elif kind == "float":
        check = partial(_real, name) if name in _REAL_NUMBERS else None
    elif kind in _VALUES:
        check = partial(_value, name, kind)
    else:
        make = _callable if kind.startswith("Callable[") else _CHECKS.get(kind)
        check = None if make is None else partial(make, name)
    return partial(_unless_none, check) if check is not None and optional else check


@cache
def _class(name: str) -> type[Any]:
    # The values import no ports, but entities do.
    resolved: type[Any] = getattr(import_module("domain"), name)
    return resolved


def _refusal(name: str, expected: str, value: object) -> InvalidInput:
    return InvalidInput(f"{name} must be {expected}, not {kind_of(value)}", field=name)


def _unless_none(check: Check, value: Any) -> Any:
    return None if value is None else check(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _refusal(name, "True or False", value)
    return value


def _age(name: str, value: Any) -> timedelta:
    if not isinstance(value, timedelta):
        raise _refusal(name, "a timedelta", value)
    longest = _LONGEST.get(name)
    if longest is not None and not -longest <= value <= longest:
        raise InvalidInput(
            f"{name} must be at most {longest.days:,} days, not {shown(value)}", field=name
        )
    if name == _WAIT and value < timedelta(0):
        raise InvalidInput(f"{name} must not be negative, and is {shown(value)}", field=name)
    if name == _STATEMENT_TIMEOUT and value <= timedelta(0):
        raise InvalidInput(f"{name} must be above 0, not {shown(value)}", field=name)
    return value


def _id(name: str, value: Any) -> UUID:
    return require_id(value, name)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refusal(name, "text", value)
    if name in _SEARCHED:
        return str.__str__(value)
    try:
        return storable(value)
    except ValueError:
        raise InvalidInput(
            f"{name} has a NUL or a lone surrogate, which PostgreSQL cannot store: remove it",
            field=name,
        ) from None


def _number(name: str, least: int, most: int, value: Any) -> int:
    if not is_whole(value):
        raise _refusal(name, "a whole number", value)
    if not least <= value <= most:
        bounds = f"between {least:,} and {most:,}" if least >= 0 else f"at most {most:,}"
        raise InvalidInput(f"{name} must be {bounds}, not {shown(value)}", field=name)
    return int(value)


def _real(name: str, value: Any) -> float:
    if not is_number(value):
        raise _refusal(name, "a number", value)
    number: float = value
    return number


def _path(name: str, value: Any) -> str:
    path = fspath(value) if isinstance(value, str | PathLike) else None
    if not isinstance(path, str):
        raise _refusal(name, "a Path or text", value)
    if not path or "\0" in path or not _is_encodable(path):
        raise InvalidInput(f"{name} is empty, or no file can have it as its name", field=name)
    return path


def _is_encodable(path: str) -> bool:
    try:
        fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def _entity(name: str, value: Any) -> Any:
    if not isinstance(value, type) or not hasattr(value, "__table__"):
        raise _refusal(name, "an entity class, such as KnowledgeChunk", value)
    return value


def _moment(name: str, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise _refusal(name, "a datetime with a time zone", value)
    if value.utcoffset() is None:
        raise InvalidInput(f"{name} needs a time zone: write one with tzinfo=UTC", field=name)
    return value


def _callable(name: str, value: Any) -> Any:
    if not callable(value):
        raise _refusal(name, "a function", value)
    return value


def _observer(name: str, value: Any) -> Any:
    _callable(name, value)
    # Nothing awaits it: the coroutine of an async function would never run.
    if iscoroutinefunction(value) or iscoroutinefunction(type(value).__call__):
        raise InvalidInput(
            f"{name} is called and not awaited: pass a function that is written with def in place"
            " of async def",
            field=name,
        )
    return value


def _iterable(name: str, expected: str, value: Any) -> Iterable[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise _refusal(name, expected, value)
    return value


def require_texts(name: str, values: Iterable[Any]) -> list[str]:
    """Return the values if all of them are texts that PostgreSQL can store.

    Args:
        name: name of the argument, for the error.
        values: the texts.

    Raises:
        InvalidInput: one of them is not.
    """
    return [_text(name, one) for one in values]


def _texts(name: str, value: Any) -> list[str]:
    return require_texts(name, _some(name, _iterable(name, "an iterable of texts", value)))


def _some(name: str, values: Iterable[Any]) -> list[Any]:
    # Checking a million values would hold the event loop.
    some = list(islice(values, MAX_CHOICES + 1))
    if len(some) > MAX_CHOICES:
        count = f"{len(values):,}" if isinstance(values, Sized) else "more"
        raise InvalidInput(
            f"{name} has at most {MAX_CHOICES:,} values, and this call has {count}", field=name
        )
    return some


def _any_number_of_texts(name: str, value: Any) -> Iterable[Any]:
    # Checking a million texts at once would hold the event loop: the operation checks them.
    return _iterable(name, "an iterable of texts", value)


def _repaired(name: str, value: Any) -> list[Any]:
    rows = _iterable(name, "a list of RepairedEmbedding", value)
    repaired = [_value(name, "RepairedEmbedding", one) for one in rows]
    require_texts("text", (one.text for one in repaired if one.text is not None))
    return repaired


def _corpora(name: str, value: Any) -> list[Any]:
    corpora = _some(name, _iterable(name, "a collection of Corpus", value))
    return [_value(name, "Corpus", one) for one in corpora]


def _value(name: str, kind: str, value: Any) -> Any:
    expected = _class(kind)
    if isinstance(value, expected):
        return value
    if issubclass(expected, StrEnum):
        if isinstance(value, str) and value in list(expected):
            return expected(value)
        members = ", ".join(f"{kind}.{one.name}" for one in expected)
        raise InvalidInput(f"{name} must be one of {members}", field=name)
    article = "an" if kind[0] in "AEIOU" else "a"
    refusal = _refusal(name, f"{article} {kind}", value)
    if kind == "Cursor" and isinstance(value, str):
        raise InvalidInput(f"{refusal}: pass Cursor.parse({name})", field=name)
    raise refusal


_CHECKS: Final[Mapping[str, Callable[[str, Any], Any]]] = {
    "str": _text,
    "bool": _flag,
    "UUID": _id,
    "timedelta": _age,
    "datetime": _moment,
    "Progress": _observer,
    "OnBuild": _observer,
    "type[Entity]": _entity,
    "Sequence[str]": _texts,
    "Iterable[str]": _any_number_of_texts,
    "Collection[Corpus]": _corpora,
    "Sequence[RepairedEmbedding]": _repaired,
}

_VALUES: Final = frozenset(
    {
        "Category",
        "ConfidenceBand",
        "Cursor",
        "Distance",
        "Diversity",
        "EmbeddingRepair",
        "Isolation",
        "Match",
        "Outcome",
        "Recency",
        "Severity",
        "UsageBy",
        "Weights",
    }
)
"""Classes of `domain` whose values operations take; an enumeration also takes its texts."""
