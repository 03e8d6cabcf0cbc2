"""One transaction of one tenant in one task, and its read-only sibling."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self
from uuid import UUID

if TYPE_CHECKING:
    from domain.ports.authors import AuthorReader, AuthorRepository
    from domain.ports.dependencies import DependencyBumpReader, DependencyBumpRepository
    from domain.ports.federated_search import FederatedSearch
    from domain.ports.knowledge import (
        EmbeddingMetadataReader,
        EmbeddingMetadataRepository,
        KnowledgeReader,
        KnowledgeRepository,
    )
    from domain.ports.learning import (
        MemoryReader,
        MemoryRepository,
        PatternReader,
        PatternRepository,
    )
    from domain.ports.reviews import (
        FindingReader,
        FindingRepository,
        ReactionReader,
        ReactionRepository,
        ReviewReader,
        ReviewRepository,
        SuppressionReader,
        SuppressionRepository,
    )
    from domain.ports.runs import CheckpointReader, CheckpointRepository, RunReader, RunRepository
    from domain.ports.telemetry import TelemetryReader, TelemetryRepository
    from domain.values.plans import SearchPlan


class ReadUnitOfWork(Protocol):
    """Reads in one read-only transaction, of one tenant, in one task.

    There is nothing to add and nothing to commit.
    """

    @property
    def tenant(self) -> str: ...
    @property
    def knowledge(self) -> KnowledgeReader: ...
    @property
    def embedding_metadata(self) -> EmbeddingMetadataReader: ...
    @property
    def reviews(self) -> ReviewReader: ...
    @property
    def findings(self) -> FindingReader: ...
    @property
    def suppressions(self) -> SuppressionReader: ...
    @property
    def reactions(self) -> ReactionReader: ...
    @property
    def memories(self) -> MemoryReader: ...
    @property
    def patterns(self) -> PatternReader: ...
    @property
    def runs(self) -> RunReader: ...
    @property
    def checkpoints(self) -> CheckpointReader: ...
    @property
    def authors(self) -> AuthorReader: ...
    @property
    def dependency_bumps(self) -> DependencyBumpReader: ...
    @property
    def telemetry(self) -> TelemetryReader: ...
    @property
    def corpora(self) -> FederatedSearch: ...

    def explaining(self) -> AbstractContextManager[list[SearchPlan]]:
        """Collect the plans of the searches inside, one for each statement: `with view.explaining()
        as plans: …`.

        Each search is executed once more for it.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class UnitOfWork(Protocol):
    """Changes things in one transaction, of one tenant, in one task.

    Leaving it without `commit` discards everything. A statement that failed outside a savepoint
    poisons it: it can only be left.
    """

    @property
    def tenant(self) -> str: ...
    @property
    def operation_id(self) -> UUID:
        """The id by which this unit of work can be recognised after its commit's outcome was lost."""
        ...

    @property
    def committed(self) -> bool | None:
        """Whether a commit made everything last; None where one was tried and its outcome is
        unknown.

        It tells what a cancelled commit came to.
        """
        ...

    @property
    def knowledge(self) -> KnowledgeRepository: ...
    @property
    def embedding_metadata(self) -> EmbeddingMetadataRepository: ...
    @property
    def reviews(self) -> ReviewRepository: ...
    @property
    def findings(self) -> FindingRepository: ...
    @property
    def suppressions(self) -> SuppressionRepository: ...
    @property
    def reactions(self) -> ReactionRepository: ...
    @property
    def memories(self) -> MemoryRepository: ...
    @property
    def patterns(self) -> PatternRepository: ...
    @property
    def runs(self) -> RunRepository: ...
    @property
    def checkpoints(self) -> CheckpointRepository: ...
    @property
    def authors(self) -> AuthorRepository: ...
    @property
    def dependency_bumps(self) -> DependencyBumpRepository: ...
    @property
    def telemetry(self) -> TelemetryRepository: ...
    @property
    def corpora(self) -> FederatedSearch: ...

    def explaining(self) -> AbstractContextManager[list[SearchPlan]]:
        """Collect the plans of the searches inside, one for each statement: `with view.explaining()
        as plans: …`.

        Each search is executed once more for it.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def flush(self) -> None:
        """Write what was added or changed, so that a rule that it breaks is told here and not later."""
        ...

    async def commit(self) -> None:
        """Make everything last, and end the unit of work.

        Cancelled meanwhile, it waits for the answer, and raises the cancellation then; `committed`
        says what became of it.

        Raises:
            TransactionAborted: a statement failed before; nothing was kept.
            ConstraintViolated: what was added or changed breaks a rule of the schema; nothing was
                kept.
            CommitOutcomeUnknown: the connection was lost after COMMIT was sent.
        """
        ...

    async def rollback(self) -> None:
        """Discard everything, and end the unit of work."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """A part that is undone alone.

        An exception that leaves it undoes it, and the unit of work goes on.
        """
        ...
