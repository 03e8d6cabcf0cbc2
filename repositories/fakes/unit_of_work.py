"""One transaction of one tenant in one task, in memory; and its read-only sibling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID

from domain import ports
from domain.entities.maintenance import CommittedOperation
from domain.errors import UnitOfWorkClosed, UnitOfWorkError
from domain.ports.implementing import implements
from domain.values.transactions import Isolation
from repositories.fakes.transaction import Transaction
from repositories.provider import RepositoryProvider
from repositories.registry import FAKE

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType

    from domain.values.plans import SearchPlan
    from repositories.fakes.state import State


_NEEDS_POSTGRESQL: Final = (
    "the fake executes no SQL: test this statement on PostgreSQL, with the fixture"
    " `recollect_uow` in place of `fake_uow`, or put it into an operation of your own repository"
    " and write its counterpart for the fake"
)


@implements(ports.ReadUnitOfWork)
class _Unit(RepositoryProvider):
    """The base of a unit of work and a reader, which can be entered once."""

    def __init__(
        self,
        state: State,
        *,
        tenant: str,
        writes: bool,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> None:
        self._transaction = Transaction(state, tenant=tenant, tracks=writes, isolation=isolation)
        super().__init__(self._transaction, state.registry, FAKE, writes=writes)
        self._entered = False

    @property
    def tenant(self) -> str:
        return self._transaction.tenant

    @property
    def is_open(self) -> bool:
        """Whether it was entered and has not ended."""
        return self._transaction.is_open

    def explaining(self) -> AbstractContextManager[list[SearchPlan]]:
        return self._transaction.explaining()

    async def execute(self, statement: object, parameters: object = None) -> Any:
        """Raise UnitOfWorkError: statements need PostgreSQL."""
        raise UnitOfWorkError(_NEEDS_POSTGRESQL)

    async def scalars(self, statement: object, parameters: object = None) -> Any:
        """Raise UnitOfWorkError: statements need PostgreSQL."""
        raise UnitOfWorkError(_NEEDS_POSTGRESQL)

    def stream(self, statement: object, parameters: object = None, **_: object) -> Any:
        """Raise UnitOfWorkError: statements need PostgreSQL."""
        raise UnitOfWorkError(_NEEDS_POSTGRESQL)

    async def __aenter__(self) -> Self:
        if self._entered:
            raise UnitOfWorkClosed("this unit of work was entered before: open another one")
        self._entered = True
        self._transaction.begin()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._transaction.close()


@implements(ports.UnitOfWork)
class FakeUnitOfWork(_Unit, ports.UnitOfWork):
    """Unit of work in memory; see `domain.UnitOfWork`.

    Its commit cannot be lost on the way, so that `CommitOutcomeUnknown` never happens here.
    """

    def __init__(
        self,
        state: State,
        *,
        tenant: str,
        operation_id: UUID | None = None,
        isolation: Isolation = Isolation.READ_COMMITTED,
    ) -> None:
        super().__init__(state, tenant=tenant, writes=True, isolation=isolation)
        self._operation = (
            CommittedOperation()
            if operation_id is None
            else CommittedOperation(operation_id=operation_id)
        )
        self._is_remembered = operation_id is not None

    @property
    def operation_id(self) -> UUID:
        return self._operation.operation_id

    @property
    def committed(self) -> bool | None:
        return self._transaction.committed

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if self._is_remembered:
            self._transaction.add(self._operation)
        return self

    async def flush(self) -> None:
        await self._transaction.flush()

    async def commit(self) -> None:
        await self._transaction.commit()

    async def rollback(self) -> None:
        self._transaction.require_open()
        await self._transaction.close()

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        return self._transaction.savepoint()


@implements(ports.ReadUnitOfWork)
class FakeReader(_Unit, ports.ReadUnitOfWork):
    """The reader in memory: nothing to add, nothing to commit.

    `domain.ReadUnitOfWork` says what it promises.
    """

    def __init__(
        self, state: State, *, tenant: str, isolation: Isolation = Isolation.READ_COMMITTED
    ) -> None:
        super().__init__(state, tenant=tenant, writes=False, isolation=isolation)
