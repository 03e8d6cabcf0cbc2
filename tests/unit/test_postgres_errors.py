"""The translation of driver errors into typed errors.

Every row of the catalogue of faults is built as SQLAlchemy and asyncpg build it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import traceback
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import exc as sa
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi, dialect
from sqlalchemy.orm.exc import StaleDataError

from domain import errors
from repositories.postgres.errors import Phase, translate, translating
from repositories.postgres.sqlstates import FAILURES

SECRET = "canary-7Qx"
make_dbapi: Any = AsyncAdapt_asyncpg_dbapi
make_dialect: Any = dialect
DBAPI = make_dbapi(asyncpg)


def server_error(state: str, **fields: str) -> asyncpg.PostgresError:
    """Return the error that asyncpg builds from an ErrorResponse; by default it quotes a row."""
    letters = {"constraint": "n", "table": "t", "column": "c", "function": "R", "message": "M"}
    return asyncpg.PostgresError.new(
        {
            "S": "ERROR",
            "V": "ERROR",
            "C": state,
            "M": f'invalid input: "{SECRET}"',
            "D": f"Key (email)=({SECRET}) already exists.",
            "H": SECRET,
            "W": SECRET,
            **{letters[name]: value for name, value in fields.items()},
        },
        query=f"SELECT '{SECRET}'",
    )


def caused(error: BaseException, cause: BaseException | None) -> BaseException:
    error.__cause__ = cause
    return error


def wrapped(
    error: BaseException, *, lost: bool = False, parameters: tuple[str, ...] = (SECRET,)
) -> sa.StatementError:
    """`error` as it comes out of `Session.execute`."""
    mapping: dict[type, Any] = DBAPI._asyncpg_error_translate
    kind = next((mapping[base] for base in type(error).__mro__ if base in mapping), None)
    orig = error if kind is None else caused(kind(str(error.args[0]), error), error)
    raised = sa.DBAPIError.instance(
        "INSERT INTO t VALUES ($1)",
        parameters,
        orig,
        DBAPI.Error,
        hide_parameters=True,
        connection_invalidated=lost,
        dialect=make_dialect(),
    )
    assert isinstance(raised, sa.StatementError)
    caused(raised, orig)
    return raised


def closed(call: str | None = None) -> BaseException:
    if call is None:
        return asyncpg.InterfaceError("connection is closed")
    return asyncpg.InterfaceError(f"cannot call {call}: the underlying connection is closed")


def cut(reason: BaseException | None = None) -> BaseException:
    return caused(
        asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
        reason,
    )


class Row(NamedTuple):
    """A fault, and what it is called while working."""

    name: str
    error: BaseException
    expected: type[errors.RecollectError]


AT_WORK = [
    Row("1 pooled backend terminated", wrapped(closed(), lost=True), errors.ConnectionLost),
    Row(
        "2 terminated between statements",
        wrapped(closed("PreparedStatement.fetch()"), lost=True),
        errors.ConnectionLost,
    ),
    Row(
        "3 COMMIT never sent",
        wrapped(closed("Transaction.commit()"), lost=True),
        errors.ConnectionLost,
    ),
    Row(
        "4 terminated during a statement",
        wrapped(cut(server_error("57P01")), lost=True),
        errors.ConnectionLost,
    ),
    Row("5 statement_timeout", wrapped(server_error("57014")), errors.StatementTimeout),
    Row("6 lock_timeout", wrapped(server_error("55P03")), errors.LockTimeout),
    Row("7 deadlock", wrapped(server_error("40P01")), errors.Conflict),
    Row("8 serialization", wrapped(server_error("40001")), errors.Conflict),
    Row(
        "9 idle in transaction",
        wrapped(cut(server_error("25P03")), lost=True),
        errors.ConnectionLost,
    ),
    Row(
        "10 transaction_timeout",
        wrapped(cut(server_error("25P04")), lost=True),
        errors.ConnectionLost,
    ),
    Row(
        "11 pool exhausted",
        sa.TimeoutError("QueuePool limit of size 1 overflow 0 reached"),
        errors.PoolExhausted,
    ),
    Row("12 command_timeout", TimeoutError(), errors.StatementTimeout),
    Row("13 read-only transaction", wrapped(server_error("25006")), errors.ReadOnly),
    Row(
        "14 SERIALIZABLE on a standby",
        wrapped(server_error("0A000", function="call_enum_check_hook")),
        errors.ReadOnly,
    ),
    Row("another unsupported feature", wrapped(server_error("0A000")), errors.UnexpectedFailure),
    Row(
        "15 recovery conflict",
        wrapped(closed("PreparedStatement.fetch()"), lost=True),
        errors.ConnectionLost,
    ),
    Row(
        "20 postmaster killed",
        wrapped(asyncpg.InternalClientError("cannot switch to state 15"), lost=True),
        errors.ConnectionLost,
    ),
    Row(
        "21 crash recovery",
        wrapped(closed("Transaction.rollback()"), lost=True),
        errors.ConnectionLost,
    ),
    Row("22 starting up", wrapped(server_error("57P03")), errors.DatabaseUnavailable),
    Row("23 too many connections", wrapped(server_error("53300")), errors.DatabaseUnavailable),
    Row(
        "27 stale plan",
        wrapped(server_error("0A000", function="RevalidateCachedQuery")),
        errors.StalePlan,
    ),
    Row(
        "27 stale type",
        wrapped(asyncpg.OutdatedSchemaCacheError("unexpected number of attributes")),
        errors.StalePlan,
    ),
    Row(
        "29 type created again",
        wrapped(server_error("XX000", function="getTypeInputInfo")),
        errors.StalePlan,
    ),
    Row("29 another internal error", wrapped(server_error("XX000")), errors.UnexpectedFailure),
    Row("28 renamed column", wrapped(server_error("42703")), errors.SchemaError),
    Row(
        "31 disk full, server gone",
        wrapped(cut(server_error("53100")), lost=True),
        errors.ResourceExhausted,
    ),
    Row("32 temp_file_limit", wrapped(server_error("53400")), errors.ResourceExhausted),
    Row(
        "33 foreign event loop",
        wrapped(asyncpg.InterfaceError("another operation is in progress")),
        errors.UnitOfWorkError,
    ),
    Row(
        "34 two tasks",
        sa.InvalidRequestError("provisioning a new connection", code="isce"),
        errors.UnitOfWorkError,
    ),
    Row(
        "34 two tasks",
        sa.IllegalStateChangeError("close() can't be called here"),
        errors.UnitOfWorkError,
    ),
    Row("35 failed transaction", wrapped(server_error("25P02")), errors.TransactionAborted),
    Row(
        "35 failed flush",
        sa.PendingRollbackError(f"Original exception was: {SECRET}"),
        errors.TransactionAborted,
    ),
    Row(
        "36 wrong Python type",
        wrapped(asyncpg.DataError(f"invalid input for query argument $1: {SECRET}")),
        errors.InvalidInput,
    ),
    Row(
        "37 too many parameters",
        wrapped(
            asyncpg.InterfaceError("the number of query arguments cannot exceed 32767"),
            parameters=(SECRET,) * 32_768,
        ),
        errors.InvalidInput,
    ),
    Row(
        "unique",
        wrapped(server_error("23505", constraint="uq_x", table="reviews")),
        errors.AlreadyExists,
    ),
    Row(
        "foreign key",
        wrapped(server_error("23503", constraint="fk_x", table="reviews")),
        errors.ReferenceViolated,
    ),
    Row(
        "foreign key, restrict",
        wrapped(server_error("23001", constraint="fk_x", table="reviews")),
        errors.ReferenceViolated,
    ),
    Row(
        "check",
        wrapped(server_error("23514", constraint="ck_x", table="reviews")),
        errors.CheckViolated,
    ),
    Row(
        "not null",
        wrapped(server_error("23502", table="reviews", column="repo")),
        errors.MissingValue,
    ),
    Row(
        "exclusion",
        wrapped(server_error("23P01", constraint="ex_x", table="reviews")),
        errors.ConstraintViolated,
    ),
    Row("text too long", wrapped(server_error("22001")), errors.InvalidInput),
    Row("NUL in text", wrapped(server_error("22021")), errors.InvalidInput),
    Row("NUL in JSON", wrapped(server_error("22P05")), errors.InvalidInput),
    Row("wrong dimension", wrapped(server_error("22000")), errors.InvalidInput),
    Row("too big for an index", wrapped(server_error("54000")), errors.InvalidInput),
    Row(
        "NaN in JSON",
        wrapped(ValueError("Out of range float values are not JSON compliant: nan")),
        errors.InvalidInput,
    ),
    Row("JSON too deep", wrapped(RecursionError()), errors.InvalidInput),
    Row("no privilege, or row-level security", wrapped(server_error("42501")), errors.AccessDenied),
    Row("out of memory", wrapped(server_error("53200")), errors.ResourceExhausted),
    Row("I/O error", wrapped(server_error("58030")), errors.ResourceExhausted),
    Row(
        "row deleted meanwhile",
        StaleDataError("expected to update 1 row(s); 0 were matched"),
        errors.Conflict,
    ),
    Row("network reset", ConnectionResetError(errno.ECONNRESET, "reset"), errors.ConnectionLost),
    Row(
        "reconnecting finds no server",
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        errors.DatabaseUnavailable,
    ),
    Row("corrupted data", wrapped(server_error("XX001")), errors.UnexpectedFailure),
    Row("no such code", wrapped(server_error("ZZ999")), errors.UnexpectedFailure),
    Row("syntax", wrapped(server_error("42601")), errors.UnexpectedFailure),
    Row("our misuse of SQLAlchemy", sa.ArgumentError(SECRET), errors.UnexpectedFailure),
    Row("a bug", KeyError(SECRET), errors.UnexpectedFailure),
]

certificate = ssl.SSLCertVerificationError(
    1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"
)
certificate.verify_message = "Hostname mismatch"
handshake = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] certificate required")
handshake.reason = "TLSV13_ALERT_CERTIFICATE_REQUIRED"

AT_CONNECT = [
    Row(
        "19 server down, TCP",
        ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"),
        errors.DatabaseUnavailable,
    ),
    Row(
        "19 server down, socket",
        FileNotFoundError(errno.ENOENT, "No such file"),
        errors.DatabaseUnavailable,
    ),
    Row(
        "19 two addresses",
        OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"),
        errors.DatabaseUnavailable,
    ),
    Row("22 starting up", server_error("57P03"), errors.DatabaseUnavailable),
    Row("23 too many connections", server_error("53300"), errors.DatabaseUnavailable),
    Row("24 no such database", server_error("3D000"), errors.ConfigurationError),
    Row("24 no such role", server_error("28000"), errors.AccessDenied),
    Row("24 wrong password", server_error("28P01"), errors.AccessDenied),
    Row("24 wrong password, wrapped", wrapped(server_error("28P01")), errors.AccessDenied),
    Row(
        "25 not a primary",
        asyncpg.TargetServerAttributeNotMatched("none of the hosts match"),
        errors.DatabaseUnavailable,
    ),
    Row("26 black hole", TimeoutError(), errors.DatabaseUnavailable),
    Row("cut while connecting", cut(server_error("57P01")), errors.DatabaseUnavailable),
    Row("cut without a word", cut(), errors.DatabaseUnavailable),
    Row("cut and noticed later", wrapped(closed(), lost=True), errors.DatabaseUnavailable),
    Row(
        "authentication that the driver lacks",
        asyncpg.InterfaceError("unsupported authentication method"),
        errors.AccessDenied,
    ),
    Row(
        "no such name",
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        errors.ConfigurationError,
    ),
    Row(
        "names cannot be asked",
        socket.gaierror(socket.EAI_AGAIN, "Temporary failure"),
        errors.DatabaseUnavailable,
    ),
    Row("certificate", certificate, errors.AccessDenied),
    Row("handshake", handshake, errors.AccessDenied),
    Row(
        "cut in the handshake",
        ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
        errors.DatabaseUnavailable,
    ),
    Row(
        "server without TLS",
        ConnectionError('PostgreSQL server at "db:1" rejected SSL upgrade'),
        errors.AccessDenied,
    ),
    Row(
        "socket of another user",
        PermissionError(errno.EACCES, "Permission denied"),
        errors.AccessDenied,
    ),
    Row("no privilege", server_error("42501"), errors.AccessDenied),
    Row("unknown server setting", server_error("42704"), errors.ConfigurationError),
    Row("bad server setting", server_error("22023"), errors.ConfigurationError),
    Row(
        "pooler is full",
        asyncpg.ProtocolViolationError("no more connections allowed"),
        errors.DatabaseUnavailable,
    ),
    Row("driver refuses", asyncpg.ClientConfigurationError(SECRET), errors.ConfigurationError),
    Row("a bug", KeyError(SECRET), errors.UnexpectedFailure),
]

LOST_AT_COMMIT = [
    Row("16, 17 reply or request lost", wrapped(cut(), lost=True), errors.CommitOutcomeUnknown),
    Row("terminated", wrapped(cut(server_error("57P01")), lost=True), errors.CommitOutcomeUnknown),
    Row("disk full", wrapped(cut(server_error("53100")), lost=True), errors.CommitOutcomeUnknown),
    Row(
        "20 postmaster killed",
        wrapped(asyncpg.InternalClientError("cannot switch to state 12"), lost=True),
        errors.CommitOutcomeUnknown,
    ),
    Row(
        "21 seen by the rollback",
        wrapped(closed("Transaction.rollback()"), lost=True),
        errors.CommitOutcomeUnknown,
    ),
    Row("cancelled", asyncio.CancelledError(), errors.CommitOutcomeUnknown),
    Row("12 command_timeout", TimeoutError(), errors.CommitOutcomeUnknown),
    Row("network", ConnectionResetError(), errors.CommitOutcomeUnknown),
    Row("server does not know", wrapped(server_error("08007")), errors.CommitOutcomeUnknown),
]
DECIDED_AT_COMMIT = [
    Row("8 serialization", wrapped(server_error("40001")), errors.Conflict),
    Row(
        "deferred constraint",
        wrapped(server_error("23503", constraint="fk_x", table="t")),
        errors.ReferenceViolated,
    ),
    Row("statement_timeout", wrapped(server_error("57014")), errors.StatementTimeout),
    Row(
        "stale plan",
        wrapped(server_error("0A000", function="RevalidateCachedQuery")),
        errors.StalePlan,
    ),
    Row("failed before", wrapped(server_error("25P02")), errors.TransactionAborted),
]
EVERY = [
    *((Phase.WORK, row) for row in AT_WORK),
    *((Phase.CONNECT, row) for row in AT_CONNECT),
    *((Phase.COMMIT, row) for row in LOST_AT_COMMIT + DECIDED_AT_COMMIT),
]
every_fault = pytest.mark.parametrize(
    ("phase", "row"), EVERY, ids=[f"{phase.name} {row.name}" for phase, row in EVERY]
)


@every_fault
def test_every_fault_has_the_error_that_the_catalogue_says(phase: Phase, row: Row) -> None:
    translated = translate(row.error, phase=phase, host="db", port=5432)
    assert type(translated) is row.expected


def spoken(error: BaseException) -> str:
    """Return all that a log, a repr or an error report shows, attributes included."""
    return f"{error}{error!r}{error.args}{vars(error)}" + "".join(traceback.format_exception(error))


@every_fault
def test_no_translated_error_carries_a_value_or_the_original(phase: Phase, row: Row) -> None:
    raised: BaseException | None = None
    try:
        with translating(phase, host="db", port=5432):
            raise row.error
    except errors.RecollectError as error:
        raised = error
    except KeyError:
        return  # a bug passes as it is
    assert raised is not None
    assert SECRET not in spoken(raised)
    assert (raised.__cause__, raised.__context__) == (None, None)


def test_the_canary_is_in_what_the_driver_raises() -> None:
    row = wrapped(server_error("23505"))
    with suppress(sa.DBAPIError):
        raise row
    assert SECRET in spoken(row)


def test_a_constraint_is_reported_by_name() -> None:
    error = translate(wrapped(server_error("23505", constraint="uq_reviews_key", table="reviews")))
    assert isinstance(error, errors.AlreadyExists)
    assert (error.constraint, error.table) == ("uq_reviews_key", "reviews")
    missing = translate(wrapped(server_error("23502", table="reviews", column="repo")))
    assert isinstance(missing, errors.MissingValue)
    assert str(missing) == "reviews.repo must have a value"


@pytest.mark.parametrize("state", sorted(FAILURES))
def test_the_servers_code_is_kept(state: str) -> None:
    code = state.ljust(5, "9")
    error = translate(wrapped(server_error(code)))
    assert isinstance(error, FAILURES[state][0])
    assert error.sqlstate == code


def test_the_reason_of_a_lost_connection_is_the_deepest_one() -> None:
    error = translate(wrapped(cut(server_error("57P01")), lost=True))
    assert isinstance(error, errors.ConnectionLost)
    assert error.sqlstate == "57P01"


def test_an_unknown_commit_carries_the_operation() -> None:
    operation = uuid4()
    error = translate(wrapped(cut(), lost=True), phase=Phase.COMMIT, operation_id=operation)
    assert isinstance(error, errors.CommitOutcomeUnknown)
    assert error.operation_id == operation


def test_an_exhausted_pool_tells_its_figures() -> None:
    error = translate(sa.TimeoutError("QueuePool limit"), figures={"size": 1, "checked_out": 1})
    assert isinstance(error, errors.PoolExhausted)
    assert error.figures == {"size": 1, "checked_out": 1}


def test_an_unavailable_host_is_named_with_its_port_and_the_reason() -> None:
    error = translate(
        ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"),
        phase=Phase.CONNECT,
        host="db",
        port=5433,
    )
    assert isinstance(error, errors.DatabaseUnavailable)
    assert (error.host, error.port, str(error)) == ("db", 5433, "db:5433: Connection refused")


def test_a_setting_to_blame_is_named() -> None:
    blamed = {"3D000": "database", "42704": "options", "22023": "options"}
    for state, setting in blamed.items():
        error = translate(server_error(state), phase=Phase.CONNECT)
        assert isinstance(error, errors.ConfigurationError)
        assert error.setting == setting


def test_an_error_of_ours_that_sqlalchemy_wrapped_is_itself_again() -> None:
    ours = errors.InvalidEmbedding("the embedding is all zeros", field="embedding")
    assert translate(wrapped(ours)) is ours
    with pytest.raises(errors.InvalidEmbedding) as caught, translating():
        raise wrapped(ours)
    assert caught.value is ours


def test_the_attempt_before_is_not_mistaken_for_the_reason() -> None:
    refused = caused(ConnectionRefusedError(errno.ECONNREFUSED, "refused"), handshake)
    assert isinstance(translate(refused, phase=Phase.CONNECT), errors.DatabaseUnavailable)


def test_only_bugs_and_cancelled_tasks_pass_untranslated() -> None:
    for passing in (KeyError("bug"), asyncio.CancelledError(), KeyboardInterrupt()):
        with pytest.raises(type(passing)) as caught, translating():
            raise passing
        assert caught.value is passing
    with pytest.raises(KeyboardInterrupt), translating(Phase.COMMIT):
        raise KeyboardInterrupt
    with pytest.raises(errors.CommitOutcomeUnknown), translating(Phase.COMMIT):
        raise asyncio.CancelledError


def test_what_is_safe_to_retry_never_happened() -> None:
    for row in LOST_AT_COMMIT:
        assert not translate(row.error, phase=Phase.COMMIT).safe_to_retry
