"""Every error that Recollect raises on purpose.

::

    RecollectError
    ├── ConfigurationError              a setting is missing, malformed or contradicts another
    ├── EmbeddedServerError             the embedded PostgreSQL cannot be started or stopped
    ├── BackupError                     a backup cannot be written or read
    │   ├── BackupDamaged               the file is not a complete, unchanged backup
    │   └── InvalidBackup               the backup does not fit this database
    ├── InvalidInput                    a value that can never be stored or looked up
    │   ├── InvalidCursor               a page cursor that does not belong to this listing
    │   ├── InvalidFilter               an empty filter, or one that names an unknown column
    │   └── InvalidEmbedding            wrong dimension, not finite, or all zeros
    ├── NotFound                        `get` of a row that does not exist
    ├── ConstraintViolated              a constraint of the schema was violated
    │   ├── AlreadyExists               unique constraint or primary key
    │   ├── ReferenceViolated           foreign key
    │   ├── CheckViolated               check constraint
    │   └── MissingValue                not null
    ├── UnitOfWorkError                 a unit of work was used incorrectly
    │   ├── UnitOfWorkClosed            used outside its `async with`, or after it ended
    │   ├── TransactionAborted          an earlier statement failed; commit is not possible
    │   └── TenantMismatch              an entity of another tenant
    ├── NotLoaded                       a column that the read left out, such as an embedding
    ├── RecorderClosed                  the telemetry recorder is closed or not yet entered
    ├── SchemaError                     the database is not the one this version expects
    │   ├── SchemaOutdated              migrations are missing, or the database is ahead
    │   ├── EmbeddingMismatch           another provider, model or dimension than recorded
    │   ├── MigrationFailed             a migration did not finish, or its lock timed out
    │   └── RowLevelSecurityRequired    row-level security is required but not in effect
    └── DatabaseFailure                 the server or the connection to it failed
        ├── Conflict                    serialization failure or deadlock: run the work again
        ├── LockTimeout                 timed out waiting for a lock
        ├── StatementTimeout            a statement was cancelled
        ├── ConnectionLost              before COMMIT was sent: nothing was committed
        ├── CommitOutcomeUnknown        after COMMIT was sent: ask `outcome` before you retry
        ├── DatabaseUnavailable         refused, starting up, full, or unreachable
        ├── PoolExhausted               every connection of the pool is in use
        ├── ReadOnly                    a write on a standby or in a reader
        ├── StalePlan                   the schema changed under a prepared statement
        ├── ResourceExhausted           disk, memory or a configured limit of the server
        ├── AccessDenied                authentication, TLS or a missing privilege
        └── UnexpectedFailure           anything else: a bug in the library or the server

Errors carry facts as attributes, never a row's values or a secret. `safe_to_retry` says whether you
can run the same unit of work again, unchanged, without doing the work twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class RecollectError(Exception):
    """The root: `except RecollectError` catches everything that this library raises on purpose."""

    safe_to_retry: ClassVar[bool] = False


class ConfigurationError(RecollectError, ValueError):
    """A setting is missing, malformed, or contradicts another; `setting` names it."""

    def __init__(self, message: str, *, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class EmbeddedServerError(RecollectError):
    """The embedded PostgreSQL cannot be prepared, started or stopped.

    The message says what to do.
    """


class BackupError(RecollectError):
    """A backup cannot be written or read; the message says why."""


class BackupDamaged(BackupError):
    """The file is not a backup, or not as it was written: truncated or altered.

    Nothing of it was restored.
    """


class InvalidBackup(BackupError):
    """The backup does not fit the database: another revision, or rows that would be in the way.

    Nothing was changed.
    """


class InvalidInput(RecollectError, ValueError):
    """A value that can never be stored or looked up.

    `field` names it where one field is to blame.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidCursor(InvalidInput):
    """A page cursor that this library did not make, or made for another listing."""


class InvalidFilter(InvalidInput):
    """A filter that names no column, compares what cannot be compared, or is empty where everything would be deleted."""


class InvalidEmbedding(InvalidInput):
    """A vector of the wrong dimension, with a component that is not finite, or with a norm outside its bounds."""


class NotFound(RecollectError, LookupError):
    """No such row for this tenant; `entity` and `key` say which was asked for."""

    def __init__(self, entity: str, key: UUID | str) -> None:
        super().__init__(f"{entity} {key} does not exist")
        self.entity = entity
        self.key = key


class ConstraintViolated(RecollectError):
    """A rule of the schema said no.

    `constraint` is its name in the database, `table` the table's.
    """

    _says: ClassVar[str] = "the constraint {constraint} of {table} is violated"

    def __init__(
        self, *, constraint: str | None, table: str | None, column: str | None = None
    ) -> None:
        facts = {
            "constraint": constraint or "(unnamed)",
            "table": table or "(unknown table)",
            "column": column or "?",
        }
        super().__init__(self._says.format(**facts))
        self.constraint = constraint
        self.table = table
        self.column = column


class AlreadyExists(ConstraintViolated):
    """A row with this key exists: a unique constraint or a primary key."""

    _says = "{table} has a row with this key already ({constraint})"


class ReferenceViolated(ConstraintViolated):
    """The row that a foreign key names does not exist for this tenant, or is still referred to."""

    _says = "{table} refers to a row that does not exist ({constraint})"


class CheckViolated(ConstraintViolated):
    """A value is outside what a check constraint allows."""

    _says = "a value is outside what {constraint} of {table} allows"


class MissingValue(ConstraintViolated):
    """A column that must have a value has none; `column` names it."""

    _says = "{table}.{column} must have a value"


class UnitOfWorkError(RecollectError):
    """A unit of work was used against its rules."""


class UnitOfWorkClosed(UnitOfWorkError):
    """A unit of work was used outside its `async with`, or after it was committed or left."""


class TransactionAborted(UnitOfWorkError):
    """A statement failed outside a savepoint: nothing of this unit of work can be committed, and
    nothing was.

    PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK and no error, so the unit of
    work has to say it.
    """


class TenantMismatch(UnitOfWorkError):
    """An entity of one tenant was given to a unit of work of another."""


class NotLoaded(RecollectError, AttributeError):
    """A column that was left out on purpose was read; `entity` and `field` name it.

    Embeddings are the usual case: ask for them with `with_embedding=True`.
    """

    def __init__(self, entity: str, field: str) -> None:
        super().__init__(f"{entity}.{field} was not loaded: ask for it when you read the row")
        self.entity = entity
        self.field = field


class RecorderClosed(RecollectError):
    """A telemetry recorder was used outside its `async with`, or ended before an event was written."""


class SchemaError(RecollectError):
    """The database is not the one that this version of the library expects."""


class SchemaOutdated(SchemaError):
    """Migrations are missing, or the database is ahead of this version.

    `current` and `expected` are revisions.
    """

    def __init__(self, *, current: str | None, expected: str) -> None:
        super().__init__(
            f"the database is at revision {current or '(none)'} and this version needs {expected}: run `recollect db migrate`"
        )
        self.current = current
        self.expected = expected


class EmbeddingMismatch(SchemaError):
    """The database holds embeddings of another provider, model or dimension.

    `field` says which of the three differs.
    """

    def __init__(self, field: str, *, recorded: str | int, given: str | int) -> None:
        super().__init__(f"this database holds embeddings with {field} {recorded!r}, not {given!r}")
        self.field = field
        self.recorded = recorded
        self.given = given


class MigrationFailed(SchemaError):
    """A migration did not finish, or another migrator held the lock until the deadline."""


class RowLevelSecurityRequired(SchemaError):
    """Row-level security was asked for, and would not keep tenants apart.

    Tables are without it, or the role passes it.
    """


class DatabaseFailure(RecollectError):
    """The server, or the way to it, failed.

    `sqlstate` is PostgreSQL's five-character code where there was one.
    """

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Conflict(DatabaseFailure):
    """A serialization failure or a deadlock.

    The transaction is gone, the whole unit of work may run again.
    """

    safe_to_retry = True


class LockTimeout(DatabaseFailure):
    """A row or table lock was not to be had within `lock_timeout`."""

    safe_to_retry = True


class StatementTimeout(DatabaseFailure):
    """A statement ran longer than its timeout, or was cancelled from outside.

    Running it again may cost as much again.
    """


class ConnectionLost(DatabaseFailure):
    """The connection ended before COMMIT was sent.

    Nothing was kept, the unit of work may run again.
    """

    safe_to_retry = True


class CommitOutcomeUnknown(DatabaseFailure):
    """The connection ended, or the task was cancelled, after COMMIT was sent: it may or may not
    have happened.

    `operation_id` is the unit of work's own; where it wrote its ledger row, the database can be
    asked what became of it.
    """

    def __init__(self, operation_id: UUID | None) -> None:
        super().__init__(
            "the connection was lost after COMMIT was sent: whether it happened is unknown"
        )
        self.operation_id = operation_id


class DatabaseUnavailable(DatabaseFailure):
    """No connection until the deadline, or the server takes none now.

    `host` and `port` name what was tried last.
    """

    safe_to_retry = True

    def __init__(
        self,
        message: str,
        *,
        host: str | None = None,
        port: int | None = None,
        sqlstate: str | None = None,
    ) -> None:
        super().__init__(message, sqlstate=sqlstate)
        self.host = host
        self.port = port


class PoolExhausted(DatabaseFailure):
    """Every connection was in use for the whole `pool_timeout`.

    `figures` are the pool's counts at that moment.
    """

    safe_to_retry = True

    def __init__(self, message: str, *, figures: Mapping[str, int]) -> None:
        super().__init__(message)
        self.figures = dict(figures)


class ReadOnly(DatabaseFailure):
    """A write reached a reader, or a server that is a standby.

    The unit of work may find the primary when it runs again.
    """

    safe_to_retry = True


class StalePlan(DatabaseFailure):
    """The schema changed under a prepared statement.

    The transaction is gone, the unit of work may run again.
    """

    safe_to_retry = True


class ResourceExhausted(DatabaseFailure):
    """Disk, memory or a configured limit of the server: someone has to look."""


class AccessDenied(DatabaseFailure):
    """Authentication, TLS verification or a missing privilege."""


class UnexpectedFailure(DatabaseFailure):
    """A failure that has no better name: a bug, here or in the server."""
