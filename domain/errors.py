"""Every error that Recollect raises on purpose.

::

    RecollectError
    ├── ConfigurationError              a setting is missing, malformed or contradicts another
    ├── RegistrationError               an entity or repository of an application is not usable
    │   ├── InvalidEntity               the class cannot be stored: its keys, columns or rules
    │   └── NotRegistered               the database does not know this entity or port
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
    │   │   └── AlreadyCommitted        another attempt committed this operation id
    │   ├── ReferenceViolated           foreign key
    │   ├── CheckViolated               check constraint
    │   └── MissingValue                not null
    ├── UnitOfWorkError                 a unit of work was used incorrectly
    │   ├── UnitOfWorkClosed            used outside its `async with`, or after it ended
    │   ├── TransactionAborted          an earlier statement failed; commit is not possible
    │   └── TenantMismatch              an entity of another tenant
    ├── NotLoaded                       a column that the read left out, such as an embedding
    ├── LeaseLost                       another attempt has the run
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

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class RecollectError(Exception):
    """The root: `except RecollectError` catches everything that this library raises on purpose.

    Errors can be pickled and copied: the type, the text and the attributes survive.
    """

    safe_to_retry: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, Python calls the class with `args`, which are not this class's arguments.
        return _rebuild, (type(self), self.args, dict(vars(self)))


def _rebuild(
    kind: type[RecollectError], args: tuple[object, ...], attributes: dict[str, object]
) -> RecollectError:
    error = kind.__new__(kind, *args)
    vars(error).update(attributes)
    return error


class ConfigurationError(RecollectError, ValueError):
    """A setting is missing, malformed, or contradicts another; `setting` names it."""

    def __init__(self, message: str, *, setting: str | None = None) -> None:
        super().__init__(message)
        self.setting = setting


class RegistrationError(RecollectError):
    """An entity or a repository cannot be registered; the message says what to write instead."""


class InvalidEntity(RegistrationError, TypeError):
    """A class cannot be an entity because of its base class, keys, columns or rules."""


class NotRegistered(RegistrationError, LookupError):
    """The database of a unit of work has no such entity or port."""


class EmbeddedServerError(RecollectError):
    """The embedded PostgreSQL cannot be started or stopped; the message says what to do."""


class BackupError(RecollectError):
    """A backup cannot be written or read; the message says why."""


class BackupDamaged(BackupError):
    """The file is not a backup, or it was truncated or altered; nothing was restored."""


class InvalidBackup(BackupError):
    """The backup does not fit the database, such as its revision; nothing was changed."""


class InvalidInput(RecollectError, ValueError):
    """A value that can never be stored or looked up; `field` names the field, if it is one."""

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidCursor(InvalidInput):
    """A page cursor that was altered, or that belongs to another listing."""


class InvalidFilter(InvalidInput):
    """A filter with an unknown column or a value of another type, or an empty one for a delete."""


class InvalidEmbedding(InvalidInput):
    """A vector has the wrong dimension, a component that is not finite, or a norm out of bounds."""


class NotFound(RecollectError, LookupError):
    """This tenant has no such row; `entity` and `key` identify it."""

    def __init__(self, entity: str, key: UUID | str) -> None:
        super().__init__(f"{entity} {key} does not exist")
        self.entity = entity
        self.key = key


class ConstraintViolated(RecollectError):
    """A constraint of the schema was violated; `constraint`, `table` and `column` name it."""

    _template: ClassVar[str] = "the constraint {constraint} of {table} is violated"

    def __init__(
        self, *, constraint: str | None, table: str | None, column: str | None = None
    ) -> None:
        names = {
            "constraint": constraint or "(unnamed)",
            "table": table or "(unknown table)",
            "column": column or "?",
        }
        super().__init__(self._template.format(**names))
        self.constraint = constraint
        self.table = table
        self.column = column


class AlreadyExists(ConstraintViolated):
    """A row with this key exists: a unique constraint or a primary key."""

    _template = "{table} has a row with this key already ({constraint})"


class AlreadyCommitted(AlreadyExists):
    """The operation `operation_id` is committed, and this call has no result of it.

    Usually another attempt committed it: another process that received the same message, or an
    earlier call. The work of this attempt was rolled back. It is also raised if `work` committed by
    itself, the reply was lost, and `work` therefore returned nothing. In both cases the operation
    took effect exactly once; read what it wrote.
    """

    def __init__(self, operation_id: UUID) -> None:
        super().__init__(constraint="pk_committed_operations", table="committed_operations")
        self.args = (
            f"the operation {operation_id} is committed already: read what it wrote, or pass"
            " another operation_id",
        )
        self.operation_id = operation_id


class ReferenceViolated(ConstraintViolated):
    """A referenced row does not exist for this tenant, or the row is still referenced."""

    # PostgreSQL reports both cases alike.
    _template = "a row of {table} would refer to a row that does not exist ({constraint})"


class CheckViolated(ConstraintViolated):
    """A value is outside the bounds of a check constraint."""

    _template = "a value violates the check {constraint} of {table}"


class MissingValue(ConstraintViolated):
    """A column that must have a value has none; `column` names it."""

    _template = "{table}.{column} must have a value"


class UnitOfWorkError(RecollectError):
    """A unit of work was used incorrectly."""


class UnitOfWorkClosed(UnitOfWorkError):
    """A unit of work was used outside its `async with`, or after it ended."""


class TransactionAborted(UnitOfWorkError):
    """A statement failed outside a savepoint, so this unit of work cannot be committed.

    PostgreSQL answers the COMMIT of a failed transaction with ROLLBACK and no error. This error
    takes the place of that silent loss.
    """


class TenantMismatch(UnitOfWorkError):
    """An entity of one tenant was passed to a unit of work of another tenant."""


class NotLoaded(RecollectError, AttributeError):
    """The read left this column out; `entity` and `field` name it.

    Embeddings are left out by default: read the row with `with_embedding=True`.
    """

    def __init__(self, entity: str, field: str) -> None:
        super().__init__(
            f"{entity}.{field} was not loaded: pass with_embedding=True when you read the row"
        )
        self.entity = entity
        self.field = field


class LeaseLost(RecollectError):
    """Another attempt claimed the run `run_key` after this one: stop the review."""

    def __init__(self, run_key: str) -> None:
        super().__init__(f"another attempt has the run {run_key}: stop this one")
        self.run_key = run_key


class RecorderClosed(RecollectError):
    """A recorder was used outside its `async with`, or closed before it wrote an event."""


class SchemaError(RecollectError):
    """The database is not the one that this version of the library expects."""


class SchemaOutdated(SchemaError):
    """Migrations are missing, or the database is ahead; `current` and `expected` are revisions."""

    def __init__(self, *, current: str | None, expected: str) -> None:
        super().__init__(
            f"the database is at revision {current or '(none)'} and this version needs {expected}:"
            " run `recollect db migrate`"
        )
        self.current = current
        self.expected = expected


class EmbeddingMismatch(SchemaError):
    """The database holds embeddings of another provider, model or dimension; see `field`."""

    def __init__(self, field: str, *, recorded: str | int, requested: str | int) -> None:
        remedy = "use a model with as many dimensions, or another database"
        if field != "dimensions":
            remedy = (
                "use the recorded one, or record yours, with"
                " `embedding_metadata.agree_on_embeddings` if it is unspecified, else with"
                " `embedding_metadata.set`"
            )
        super().__init__(
            f"this database holds embeddings with {field} {recorded!r}, not {requested!r}: {remedy}"
        )
        self.field = field
        self.recorded = recorded
        self.requested = requested


class MigrationFailed(SchemaError):
    """A migration did not finish, or another migration held the lock until the deadline."""


class RowLevelSecurityRequired(SchemaError):
    """Row-level security is required but not in effect: tables lack it, or the role bypasses it."""


class DatabaseFailure(RecollectError):
    """The server or the connection failed; `sqlstate` is PostgreSQL's code, if there is one."""

    def __init__(self, message: str, *, sqlstate: str | None = None) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


class Conflict(DatabaseFailure):
    """A serialization failure or a deadlock: run the whole unit of work again."""

    safe_to_retry = True


class LockTimeout(DatabaseFailure):
    """Timed out waiting for a row or table lock: `lock_timeout` was reached."""

    safe_to_retry = True


class StatementTimeout(DatabaseFailure):
    """A statement reached its timeout or was cancelled; a retry may cost as much again."""


class ConnectionLost(DatabaseFailure):
    """The connection ended before COMMIT was sent: nothing was committed."""

    safe_to_retry = True


class CommitOutcomeUnknown(DatabaseFailure):
    """The reply to a COMMIT was lost or incomplete: the commit may or may not have happened.

    If you passed the unit of work an `operation_id`, `Database.outcome` reads the outcome.
    """

    def __init__(
        self,
        operation_id: UUID | None,
        cause: str = "the connection was lost after COMMIT was sent",
    ) -> None:
        advice = "look whether its rows exist"
        if operation_id is not None:
            advice = "call `outcome` with the operation_id"
        super().__init__(
            f"{cause}, so its outcome is unknown: before you repeat the work, {advice}"
        )
        self.operation_id = operation_id


class DatabaseUnavailable(DatabaseFailure):
    """The server at `host` and `port`, the last one tried, accepts no connection."""

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
    """Every connection was in use for the whole `pool_timeout`; `figures` are the pool's counts."""

    safe_to_retry = True

    def __init__(self, message: str, *, figures: Mapping[str, int]) -> None:
        super().__init__(message)
        self.figures = dict(figures)


class ReadOnly(DatabaseFailure):
    """A write reached a reader or a standby; the next attempt looks for the primary."""

    safe_to_retry = True


class StalePlan(DatabaseFailure):
    """The schema changed under a prepared statement: run the whole unit of work again."""

    safe_to_retry = True


class ResourceExhausted(DatabaseFailure):
    """The server reached a limit of disk, memory or configuration: an operator has to act."""


class AccessDenied(DatabaseFailure):
    """Authentication, TLS verification or a missing privilege."""


class UnexpectedFailure(DatabaseFailure):
    """Any other failure of the database: a bug in the library or the server."""
