"""PostgreSQL's error codes, with their domain errors and messages.

A code of two characters stands for the other codes of its class.
"""

from __future__ import annotations

from typing import Final

from domain import errors

INTERNAL_ERROR: Final = "XX000"

CONSTRAINTS: Final[dict[str, type[errors.ConstraintViolated]]] = {
    "23": errors.ConstraintViolated,
    "23001": errors.ReferenceViolated,
    "23502": errors.MissingValue,
    "23503": errors.ReferenceViolated,
    "23505": errors.AlreadyExists,
    "23514": errors.CheckViolated,
    "40002": errors.ConstraintViolated,
    "44": errors.CheckViolated,
}
INPUT: Final[dict[str, str]] = {
    "22": "a value does not fit the type of its column",
    "22001": "a text is longer than its column allows",
    "22003": "a number is outside the range of its column",
    "22008": "a time is outside the range of PostgreSQL",
    "22021": "a text contains a character that PostgreSQL cannot store, such as NUL",
    "22P02": "a value is not valid text for its type",
    "22P05": "a text contains a character that PostgreSQL cannot store, such as NUL",
    "54": "a value or a statement is larger than PostgreSQL allows",
}
MISSING: Final[dict[str, str]] = {
    "3F000": "the database lacks a schema that this version uses",
    "42703": "the database lacks a column that this version uses",
    "42P01": "the database lacks a table that this version uses",
}
FAILURES: Final[dict[str, tuple[type[errors.DatabaseFailure], str]]] = {
    "08": (errors.ConnectionLost, "the connection was lost before COMMIT: nothing was committed"),
    "25006": (
        errors.ReadOnly,
        "this connection only reads: it is a reader's, the server is a standby, or the server, the"
        " database or the role has default_transaction_read_only",
    ),
    "25P03": (
        errors.ConnectionLost,
        "the server ended the connection: the transaction was idle for too long",
    ),
    "25P04": (
        errors.ConnectionLost,
        "the server ended the connection: the transaction took too long",
    ),
    "28": (errors.AccessDenied, "the server refused this user or password"),
    "40": (errors.Conflict, "the transaction conflicts with another one"),
    "40001": (errors.Conflict, "another transaction changed the same rows"),
    "40P01": (errors.Conflict, "a deadlock with another transaction"),
    "42501": (
        errors.AccessDenied,
        "the role lacks a privilege for this: GRANT it, or connect as a role that `recollect db"
        " roles` sets up or as the owner of the tables",
    ),
    "53": (errors.ResourceExhausted, "the server is out of resources"),
    "53100": (errors.ResourceExhausted, "the server's disk is full"),
    "53200": (errors.ResourceExhausted, "the server is out of memory"),
    "53300": (errors.DatabaseUnavailable, "the server has no connection left"),
    "53400": (errors.ResourceExhausted, "a limit in the server's configuration is reached"),
    "55P03": (errors.LockTimeout, "timed out waiting for a lock"),
    "57014": (
        errors.StatementTimeout,
        "a statement was cancelled, or took longer than its timeout",
    ),
    "57P01": (
        errors.ConnectionLost,
        "the server ended the connection before COMMIT: nothing was committed",
    ),
    "57P02": (errors.ConnectionLost, "the server crashed before COMMIT: nothing was committed"),
    "57P03": (errors.DatabaseUnavailable, "the server is starting, stopping or recovering"),
    "57P04": (errors.ConnectionLost, "the database was dropped"),
    "57P05": (errors.ConnectionLost, "the server ended the connection: it was idle for too long"),
    "58": (errors.ResourceExhausted, "the server cannot read or write its files"),
}
