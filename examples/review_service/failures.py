"""HTTP status and text of each error, in one table."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from domain import (
    CommitOutcomeUnknown,
    Conflict,
    ConnectionLost,
    ConstraintViolated,
    DatabaseUnavailable,
    InvalidInput,
    LockTimeout,
    NotFound,
    PoolExhausted,
    ReadOnly,
    RecollectError,
    StalePlan,
    StatementTimeout,
)
from examples.review_service.service import ReviewUnderWay

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, a text (None for the error's own message), and the seconds until a retry."""

    status: int
    says: str | None = None
    retry_after: int | None = None


BUSY: Final = Answer(503, "the service is busy: try again", retry_after=1)
AWAY: Final = Answer(503, "the service is not available: try again later", retry_after=5)

# The nearest base class counts. A server error is not described to the caller.
ANSWERS: Final[Mapping[type[Exception], Answer]] = {
    NotFound: Answer(404),
    InvalidInput: Answer(422),
    ValidationError: Answer(422),
    ConstraintViolated: Answer(409, "this contradicts what is recorded"),
    ReviewUnderWay: Answer(409, retry_after=1),
    Conflict: BUSY,
    LockTimeout: BUSY,
    PoolExhausted: BUSY,
    StalePlan: BUSY,
    # The outcome is unknown, and repeating the request is safe.
    CommitOutcomeUnknown: BUSY,
    ConnectionLost: BUSY,
    DatabaseUnavailable: AWAY,
    ReadOnly: AWAY,
    StatementTimeout: Answer(504, "this took too long"),
    RecollectError: Answer(500, "something is wrong here"),
}


def answer_failures(app: FastAPI) -> None:
    """Register a handler for each error of the table."""
    for kind, answer in ANSWERS.items():
        app.add_exception_handler(kind, partial(_respond, answer))


async def _respond(answer: Answer, request: Request, error: Exception) -> JSONResponse:
    if answer.status >= 500:
        log.error(
            "%s %s: %s", request.method, request.url.path, type(error).__name__, exc_info=error
        )
    headers = None if answer.retry_after is None else {"Retry-After": str(answer.retry_after)}
    return JSONResponse({"detail": answer.says or _own_words(error)}, answer.status, headers)


def _own_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        details = error.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(
            f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}".removeprefix(": ")
            for detail in details
        )
    return str(error)
