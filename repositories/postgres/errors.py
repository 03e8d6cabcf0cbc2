"""Translation of the driver's errors to those of `domain.errors`, by SQLSTATE.

SQLAlchemy's classes do not distinguish a deadlock, a timeout, a full disk and a lost connection,
which are all a `DBAPIError`, and an error before the connection exists is not one of SQLAlchemy's.
PostgreSQL's code does. The messages are our own, because the driver's contain values of rows ("Key
(email)=(…) already exists").
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, NoReturn

import asyncpg
from sqlalchemy import exc as sa
from sqlalchemy.orm.exc import StaleDataError

from domain import errors
from domain.values.transactions import ROWS_GONE
from repositories.postgres import connect_errors, error_fields
from repositories.postgres.sqlstates import CONSTRAINTS, FAILURES, INPUT, INTERNAL_ERROR, MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

    from domain.errors import RecollectError


class Phase(Enum):
    """The phase in which an error occurred, on which the meaning of a lost connection depends."""

    CONNECT = auto()
    WORK = auto()
    COMMIT = auto()


# These codes have several causes, and messages are in the server's language. The name of the
# server's function distinguishes the causes.
_STANDBY_REFUSES_SERIALIZABLE = ("call_enum_check_hook", "GetSerializableTransactionSnapshot")
_POLICY_REFUSES_ROW = "ExecWithCheckOptions"
_TYPE_LOOKUPS = (
    "getTypeInputInfo",
    "getTypeOutputInfo",
    "getTypeBinaryInputInfo",
    "getTypeBinaryOutputInfo",
)
_MAX_PARAMETERS = 32_767


def translate(
    error: BaseException,
    *,
    phase: Phase = Phase.WORK,
    operation_id: UUID | None = None,
    host: str | None = None,
    port: int | None = None,
    figures: Mapping[str, int] | None = None,
) -> RecollectError:
    """Return the error of `domain.errors` for `error`, without values of rows or secrets.

    An error of `domain.errors` is returned as it is, also if SQLAlchemy wrapped it.

    Args:
        error: the error of SQLAlchemy, the driver or the operating system.
        phase: the phase in which it occurred.
        operation_id: the operation of the unit of work, for a COMMIT of unknown outcome.
        host: the host of the connection attempt.
        port: the port of the connection attempt.
        figures: the pool's counts.
    """
    chain = tuple(_chain(error))
    for ours in chain:
        if isinstance(ours, errors.RecollectError):
            return ours
    if phase is Phase.CONNECT:
        return _while_connecting(chain, host, port)
    if phase is Phase.COMMIT and _may_have_committed(chain):
        return errors.CommitOutcomeUnknown(operation_id)
    if any(isinstance(link, sa.TimeoutError) for link in chain):
        return errors.PoolExhausted("every connection of the pool is in use", figures=figures or {})
    return _from_server(chain) or _from_client(chain, host, port) or _unexpected(chain)


@contextmanager
def translating(
    phase: Phase = Phase.WORK,
    *,
    operation_id: UUID | None = None,
    host: str | None = None,
    port: int | None = None,
) -> Iterator[None]:
    """Translate the database's errors inside the block; put only calls of SQLAlchemy in it.

    Errors that come neither from the database nor from the connection pass unchanged. So does a
    cancellation, except in `Phase.COMMIT`, where it becomes `CommitOutcomeUnknown`.
    """
    try:
        yield
    except BaseException as error:
        if isinstance(error, errors.RecollectError) or not _is_of_the_database(error, phase):
            raise
        raise_bare(translate(error, phase=phase, operation_id=operation_id, host=host, port=port))


def raise_bare(failure: RecollectError) -> NoReturn:
    """Raise `failure` without the error that is being handled.

    A chained traceback prints the driver's DETAIL, which contains the row. `from None` alone hides
    the original, but `__context__` still refers to it.
    """
    try:
        raise failure from None
    except errors.RecollectError:
        failure.__context__ = None
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    visited: set[int] = set()
    while error is not None and id(error) not in visited:
        visited.add(id(error))
        yield error
        error = (error.orig if isinstance(error, sa.StatementError) else None) or error.__cause__


def _is_of_the_database(error: BaseException, phase: Phase) -> bool:
    if isinstance(error, asyncio.CancelledError):
        return phase is Phase.COMMIT
    below = (
        sa.SQLAlchemyError,
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        asyncpg.InternalClientError,
        OSError,
    )
    return isinstance(error, below)


def _server_error(chain: tuple[BaseException, ...]) -> asyncpg.PostgresError | None:
    # The deepest one is the cause, such as "terminated by the administrator" of "connection was
    # closed".
    return next((link for link in reversed(chain) if isinstance(link, asyncpg.PostgresError)), None)


def _connection_lost(chain: tuple[BaseException, ...]) -> bool:
    for link in chain:
        if isinstance(link, sa.DBAPIError) and link.connection_invalidated:
            return True
        if isinstance(link, asyncpg.InternalClientError) and not isinstance(
            link, asyncpg.OutdatedSchemaCacheError
        ):
            return True
        if isinstance(link, asyncpg.ConnectionDoesNotExistError):
            return True
    return False


def _may_have_committed(chain: tuple[BaseException, ...]) -> bool:
    server = _server_error(chain)
    if server is not None and server.server_source_function in error_fields.COMMIT_FUNCTIONS:
        return True
    if isinstance(_from_server(chain), errors.ReadOnly | errors.StalePlan):
        # The server refused the statement, and the pool replaces the connection for another reason.
        return False
    state = getattr(server, "sqlstate", None) or ""
    undecided = any(isinstance(link, (asyncio.CancelledError, OSError)) for link in chain)
    return undecided or _connection_lost(chain) or state.startswith("08") or state == "40003"


def _from_server(chain: tuple[BaseException, ...]) -> RecollectError | None:
    error = _server_error(chain)
    if error is None:
        return None
    fields = error_fields.fields_of(error)
    state = fields.sqlstate
    if failure := _by_function(error, state):
        return failure
    if state == "25P02":
        return errors.TransactionAborted(
            "a statement of this transaction failed before: nothing of it can be committed"
        )
    if state in MISSING:
        return errors.SchemaError(
            f"{MISSING[state]} ({state}): run `recollect db migrate` and the migrations of your own"
            " tables, or correct your own statement"
        )
    for code in (state, state[:2]):
        if code in CONSTRAINTS:
            return CONSTRAINTS[code](
                constraint=fields.constraint, table=fields.table, column=fields.column
            )
        if code in INPUT:
            return errors.InvalidInput(INPUT[code], field=fields.column)
        if code in FAILURES:
            kind, words = FAILURES[code]
            return kind(words, sqlstate=state)
    return None


def _by_function(error: asyncpg.PostgresError, state: str) -> RecollectError | None:
    """Return the failure whose cause the code alone does not tell."""
    function = error.server_source_function
    # The server has no code for a type that was dropped.
    dropped = state == INTERNAL_ERROR and function in _TYPE_LOOKUPS
    if dropped or isinstance(error, asyncpg.InvalidCachedStatementError):
        return errors.StalePlan(
            "the schema changed under a prepared statement", sqlstate=state or None
        )
    if state == "0A000" and function in _STANDBY_REFUSES_SERIALIZABLE:
        return errors.ReadOnly(
            "a standby has no serializable transactions: use repeatable read there", sqlstate=state
        )
    if state == "42501" and function == _POLICY_REFUSES_ROW:
        return errors.AccessDenied(
            "row-level security refuses a row of another tenant: open a unit of work of its tenant,"
            " with unit_of_work(tenant=…)",
            sqlstate=state,
        )
    return None


def _from_client(
    chain: tuple[BaseException, ...], host: str | None, port: int | None
) -> RecollectError | None:
    deepest = chain[-1]
    if any(isinstance(link, asyncpg.OutdatedSchemaCacheError) for link in chain):
        return errors.StalePlan("the schema changed under a prepared statement")
    if isinstance(deepest, TimeoutError):
        return errors.StatementTimeout("the server did not answer a statement in time")
    if _connection_lost(chain) or isinstance(
        deepest, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)
    ):
        return errors.ConnectionLost("the connection was lost before COMMIT: nothing was committed")
    if isinstance(deepest, OSError):
        return _while_connecting(chain, host, port)
    # Its subclasses have other causes.
    if type(deepest) is asyncpg.InterfaceError:
        return _misuse(chain[0])
    return _from_sqlalchemy(chain)


def _misuse(raised: BaseException) -> RecollectError:
    parameters = raised.params if isinstance(raised, sa.StatementError) else None
    if isinstance(parameters, tuple) and len(parameters) > _MAX_PARAMETERS:
        return errors.InvalidInput(
            "a statement has more than 32,767 parameters: write fewer rows at a time"
        )
    return errors.UnitOfWorkError("a connection was used by two tasks at once")


def _from_sqlalchemy(chain: tuple[BaseException, ...]) -> RecollectError | None:
    raised, deepest = chain[0], chain[-1]
    if isinstance(raised, sa.PendingRollbackError):
        return errors.TransactionAborted(
            "a statement of this transaction failed before: nothing of it can be committed"
        )
    if isinstance(raised, StaleDataError):
        return errors.Conflict(ROWS_GONE)
    if isinstance(raised, sa.IllegalStateChangeError) or (
        isinstance(raised, sa.InvalidRequestError) and raised.code == "isce"
    ):
        return errors.UnitOfWorkError("a unit of work was used by two tasks at once")
    invalid = (ValueError, TypeError, OverflowError, LookupError, RecursionError)
    # For a number with too many digits, the driver fails while it builds its own message.
    too_long = isinstance(raised, ValueError) and isinstance(raised.__context__, OverflowError)
    if too_long or (isinstance(raised, sa.StatementError) and isinstance(deepest, invalid)):
        return errors.InvalidInput(INPUT["22"])
    return None


def _while_connecting(
    chain: tuple[BaseException, ...], host: str | None, port: int | None
) -> RecollectError:
    server = _server_error(chain)
    if server is not None:
        return connect_errors.from_server(server, host=host, port=port)
    ended = errors.DatabaseUnavailable(
        "the connection ended before it was ready", host=host, port=port
    )
    if any(isinstance(link, sa.DBAPIError) and link.connection_invalidated for link in chain):
        return ended
    # Not the deepest one: with sslmode=prefer, that is the error of the attempt before.
    for link in chain:
        failure = connect_errors.from_client(link, host=host, port=port)
        if failure is not None:
            return failure
    return ended if _connection_lost(chain) else _unexpected(chain)


def _unexpected(chain: tuple[BaseException, ...]) -> RecollectError:
    error: BaseException = _server_error(chain) or chain[-1]
    state = getattr(error, "sqlstate", None)
    return errors.UnexpectedFailure(
        f"{type(error).__name__}{f' ({state})' if state else ''} from the database", sqlstate=state
    )
