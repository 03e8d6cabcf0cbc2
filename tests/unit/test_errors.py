"""The errors of the domain: pickling, copying, and their attributes."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

import domain
from domain import (
    CommitOutcomeUnknown,
    ConfigurationError,
    Conflict,
    DatabaseUnavailable,
    EmbeddingMismatch,
    InvalidInput,
    NotFound,
    PoolExhausted,
    RecollectError,
    SchemaOutdated,
    errors,
)
from domain.values.retries import forbid_retry

OPERATION = UUID("0198c0de-0000-7000-8000-000000000001")
ARGUMENTS: dict[str, Any] = {
    "message": "the port must be a number",
    "setting": "port",
    "field": "title",
    "entity": "Review",
    "key": OPERATION,
    "constraint": "uq_reviews",
    "table": "reviews",
    "column": "repo",
    "operation_id": OPERATION,
    "run_key": "acme/api#7@head",
    "current": "0001",
    "expected": "0002",
    "recorded": 3,
    "given": 4,
    "sqlstate": "40001",
    "host": "db.example",
    "port": 5432,
    "figures": {"size": 5, "total": 5},
}
ERRORS = sorted(
    (
        error
        for error in (getattr(domain, name) for name in domain.__all__)
        if isinstance(error, type) and issubclass(error, RecollectError)
    ),
    key=lambda error: error.__name__,
)


def made(kind: type[RecollectError]) -> RecollectError:
    """Return an error of the class with a value for every argument."""
    signature = inspect.signature(kind.__init__)
    positional, named = [], {}
    for name, parameter in list(signature.parameters.items())[1:]:
        if parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = ARGUMENTS.get(name, name)
        elif parameter.kind is parameter.POSITIONAL_OR_KEYWORD:
            positional.append(ARGUMENTS.get(name, name))
    if not positional and not named:
        positional = ["a statement failed before"]
    return kind(*positional, **named)


def facts(error: BaseException) -> tuple[type, str, tuple[object, ...], dict[str, object]]:
    """Return everything that a caller can read of an error."""
    return type(error), str(error), error.args, vars(error)


def raise_error(name: str) -> None:
    """Raise the error of this name in a worker of a process pool."""
    raise made(getattr(domain, name))


def test_every_error_of_the_package_is_tested() -> None:
    defined = {
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, RecollectError)
    }
    assert defined == set(ERRORS)


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_survive_pickling(kind: type[RecollectError]) -> None:
    error = made(kind)
    error.add_note("while the webhook was handled")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert facts(pickle.loads(pickle.dumps(error, protocol))) == facts(error)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_survive_copying(
    kind: type[RecollectError], copied: Callable[[RecollectError], RecollectError]
) -> None:
    error = made(kind)
    assert facts(copied(error)) == facts(error)


def test_an_error_that_is_not_safe_to_retry_stays_so() -> None:
    error = Conflict("another transaction changed the same rows")
    forbid_retry(error)
    assert not pickle.loads(pickle.dumps(error)).safe_to_retry
    assert Conflict.safe_to_retry


def test_errors_of_workers_reach_the_parent_of_a_process_pool() -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for kind in ERRORS:
            result = pool.apply_async(raise_error, (kind.__name__,))
            with pytest.raises(kind) as failure:
                result.get(timeout=60)
            assert type(failure.value) is kind
            assert str(failure.value) == str(made(kind))
            expected = vars(made(kind))
            assert {name: vars(failure.value)[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("error", "attributes"),
    [
        (NotFound("Review", OPERATION), {"entity": "Review", "key": OPERATION}),
        (CommitOutcomeUnknown(OPERATION), {"operation_id": OPERATION, "sqlstate": None}),
        (ConfigurationError("is required", setting="host"), {"setting": "host"}),
        (InvalidInput("is too long", field="title"), {"field": "title"}),
        (DatabaseUnavailable("no answer", host="db", port=1), {"host": "db", "port": 1}),
        (PoolExhausted("in use", figures={"size": 1}), {"figures": {"size": 1}}),
        (SchemaOutdated(current=None, expected="0002"), {"current": None, "expected": "0002"}),
        (
            EmbeddingMismatch("dimensions", recorded=3, requested=4),
            {"field": "dimensions", "recorded": 3, "requested": 4},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_carry_facts_as_attributes(
    error: RecollectError, attributes: dict[str, object]
) -> None:
    restored = pickle.loads(pickle.dumps(error))
    for name, value in attributes.items():
        assert getattr(restored, name) == value, name


def test_an_unknown_outcome_says_how_to_find_it_out() -> None:
    assert "call `outcome` with the operation_id" in str(CommitOutcomeUnknown(OPERATION))
    assert str(CommitOutcomeUnknown(None)).endswith("look whether its rows exist")
