"""Statements of an application, in the transaction of a unit of work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from typing_extensions import TypeVarTuple

from domain.values.numbers import require_whole
from domain.values.paging import MAX_BATCH_SIZE
from repositories.sql.own_statements import changed_tables, require_statement

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Executable, Result, Row, ScalarResult
    from sqlalchemy.sql.expression import UpdateBase
    from sqlalchemy.sql.selectable import TypedReturnsRows

    from repositories.postgres.transaction import Transaction

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

# Rows replace the values of entities that are tracked already, which `refresh_changed` does for
# statements that write.
_OPTIONS: Final = {"populate_existing": True, "synchronize_session": False}

Parameters: TypeAlias = "Mapping[str, Any] | Sequence[Mapping[str, Any]]"


class OwnStatements:
    """Executes an application's statements as the repositories execute theirs.

    They share the transaction with the repositories: what was added or changed is written first,
    failures are raised as errors of `domain`, a statement that fails outside a savepoint aborts
    the unit of work, and row-level security shows the rows of the tenant only. Without row-level
    security, a statement needs a condition on the tenant: `tenant_equals(Review, uow.tenant)`.
    """

    _transaction: Transaction

    @overload
    async def execute(
        self,
        statement: TypedReturnsRows[*Ts],
        parameters: Parameters | None = None,
    ) -> Result[*Ts]: ...

    @overload
    async def execute(
        self, statement: UpdateBase, parameters: Parameters | None = None
    ) -> CursorResult[*tuple[Any, ...]]: ...

    @overload
    async def execute(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> Result[*tuple[Any, ...]]: ...

    async def execute(self, statement: Executable, parameters: Parameters | None = None) -> Any:
        """Execute a statement and return its result, all rows of which are in memory.

        Entities that the unit of work tracks and the statement may have changed are read again:
        they have the values of their rows, and an entity whose row was deleted is no longer
        tracked.

        Args:
            statement: of SQLModel or SQLAlchemy, such as `select`, `update` or `text`.
            parameters: the values of its named binds; a sequence executes it once for each.

        Raises:
            InvalidInput: it is not a statement, or controls the transaction.
            ReadOnly: it writes, and this is a reader.
            RecollectError: it failed, as a statement of a repository fails.
        """
        require_statement(statement)
        result = await self._transaction.execute(statement, parameters, options=_OPTIONS)
        await self._transaction.refresh_changed(changed_tables(statement))
        return result

    @overload
    async def scalars(
        self, statement: TypedReturnsRows[T], parameters: Parameters | None = None
    ) -> ScalarResult[T]: ...

    @overload
    async def scalars(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> ScalarResult[Any]: ...

    async def scalars(
        self, statement: Executable, parameters: Parameters | None = None
    ) -> ScalarResult[Any]:
        """Execute a statement and return the first column of its result; see `execute`."""
        return (await self.execute(statement, parameters)).scalars()

    @overload
    def stream(
        self,
        statement: TypedReturnsRows[*Ts],
        parameters: Mapping[str, Any] | None = None,
        *,
        batch_size: int = 500,
    ) -> AsyncIterator[Row[*Ts]]: ...

    @overload
    def stream(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        batch_size: int = 500,
    ) -> AsyncIterator[Row[*tuple[Any, ...]]]: ...

    async def stream(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | None = None,
        *,
        batch_size: int = 500,
    ) -> AsyncIterator[Any]:
        """Yield the rows of a statement from a server-side cursor, `batch_size` in memory.

        Raises:
            InvalidInput: it is not a statement that reads, or `batch_size` is out of range.
            RecollectError: it failed, as a statement of a repository fails.
        """
        require_statement(statement)
        require_whole(batch_size, "batch_size", most=MAX_BATCH_SIZE)
        async for row in self._transaction.stream(
            statement,
            dict(parameters or {}),
            batch_size=batch_size,
            options=_OPTIONS,
            mappings=False,
        ):
            yield row
        await self._transaction.refresh_changed(changed_tables(statement))


class RepositoryStatements(OwnStatements):
    """The statements of one repository, for operations that an application adds to it."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
