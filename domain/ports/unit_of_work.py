"""One transaction of one tenant in one task, and its read-only sibling."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, overload
from uuid import UUID

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
from domain.ports.repository import ReadRepository, Repository
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
from domain.ports.searchable import SearchableEntity, SearchableReader, SearchableRepository
from domain.ports.telemetry import TelemetryReader, TelemetryRepository

if TYPE_CHECKING:
    from domain.values.plans import SearchPlan

E = TypeVar("E")
R = TypeVar("R")
S = TypeVar("S", bound=SearchableEntity)


class ReadUnitOfWork(Protocol):
    """Reads in one read-only transaction, of one tenant, in one task.

    There is nothing to add and nothing to commit.
    """

    @property
    def tenant(self) -> str:
        """The tenant of the rows."""
        ...

    @overload
    def repository(self, entity: type[S]) -> SearchableReader[S]: ...

    @overload
    def repository(self, entity: type[E]) -> ReadRepository[E]: ...

    def repository(self, entity: type[Any]) -> Any:
        """Return the repository of an entity, the library's or an application's.

        Raises:
            NotRegistered: the entity is not registered in this database.
        """
        ...

    def provide(self, port: Callable[..., R]) -> R:
        """Return the repository that is registered with a port, such as `provide(LabelReader)`.

        The properties below are short for it.

        Raises:
            NotRegistered: none is, or the port writes.
        """
        ...

    @property
    def knowledge(self) -> KnowledgeReader:
        """Passages of documents."""
        return self.provide(KnowledgeReader)

    @property
    def embedding_metadata(self) -> EmbeddingMetadataReader:
        """The record of how this database embeds."""
        return self.provide(EmbeddingMetadataReader)

    @property
    def reviews(self) -> ReviewReader:
        """Reviews."""
        return self.provide(ReviewReader)

    @property
    def findings(self) -> FindingReader:
        """Findings of reviews."""
        return self.provide(FindingReader)

    @property
    def suppressions(self) -> SuppressionReader:
        """Suppressions that reviews applied."""
        return self.provide(SuppressionReader)

    @property
    def reactions(self) -> ReactionReader:
        """People's reactions to comments."""
        return self.provide(ReactionReader)

    @property
    def memories(self) -> MemoryReader:
        """Learning memories."""
        return self.provide(MemoryReader)

    @property
    def patterns(self) -> PatternReader:
        """Patterns that all tenants share."""
        return self.provide(PatternReader)

    @property
    def runs(self) -> RunReader:
        """Runs of the reviewer."""
        return self.provide(RunReader)

    @property
    def checkpoints(self) -> CheckpointReader:
        """Checkpoints of reviews."""
        return self.provide(CheckpointReader)

    @property
    def authors(self) -> AuthorReader:
        """Authors, as the code host describes them."""
        return self.provide(AuthorReader)

    @property
    def dependency_bumps(self) -> DependencyBumpReader:
        """Merged dependency bumps."""
        return self.provide(DependencyBumpReader)

    @property
    def telemetry(self) -> TelemetryReader:
        """Telemetry events."""
        return self.provide(TelemetryReader)

    @property
    def corpora(self) -> FederatedSearch:
        """Search of several corpora at once."""
        return self.provide(FederatedSearch)

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
    def tenant(self) -> str:
        """The tenant of the rows."""
        ...

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

    @overload
    def repository(self, entity: type[S]) -> SearchableRepository[S]: ...

    @overload
    def repository(self, entity: type[E]) -> Repository[E]: ...

    def repository(self, entity: type[Any]) -> Any:
        """Return the repository of an entity, the library's or an application's.

        Raises:
            NotRegistered: the entity is not registered in this database.
        """
        ...

    def provide(self, port: Callable[..., R]) -> R:
        """Return the repository that is registered with a port, such as `provide(LabelRepository)`.

        The properties below are short for it.

        Raises:
            NotRegistered: none is.
        """
        ...

    @property
    def knowledge(self) -> KnowledgeRepository:
        """Passages of documents."""
        return self.provide(KnowledgeRepository)

    @property
    def embedding_metadata(self) -> EmbeddingMetadataRepository:
        """The record of how this database embeds."""
        return self.provide(EmbeddingMetadataRepository)

    @property
    def reviews(self) -> ReviewRepository:
        """Reviews."""
        return self.provide(ReviewRepository)

    @property
    def findings(self) -> FindingRepository:
        """Findings of reviews."""
        return self.provide(FindingRepository)

    @property
    def suppressions(self) -> SuppressionRepository:
        """Suppressions that reviews applied."""
        return self.provide(SuppressionRepository)

    @property
    def reactions(self) -> ReactionRepository:
        """People's reactions to comments."""
        return self.provide(ReactionRepository)

    @property
    def memories(self) -> MemoryRepository:
        """Learning memories."""
        return self.provide(MemoryRepository)

    @property
    def patterns(self) -> PatternRepository:
        """Patterns that all tenants share."""
        return self.provide(PatternRepository)

    @property
    def runs(self) -> RunRepository:
        """Runs of the reviewer."""
        return self.provide(RunRepository)

    @property
    def checkpoints(self) -> CheckpointRepository:
        """Checkpoints of reviews."""
        return self.provide(CheckpointRepository)

    @property
    def authors(self) -> AuthorRepository:
        """Authors, as the code host describes them."""
        return self.provide(AuthorRepository)

    @property
    def dependency_bumps(self) -> DependencyBumpRepository:
        """Merged dependency bumps."""
        return self.provide(DependencyBumpRepository)

    @property
    def telemetry(self) -> TelemetryRepository:
        """Telemetry events."""
        return self.provide(TelemetryRepository)

    @property
    def corpora(self) -> FederatedSearch:
        """Search of several corpora at once."""
        return self.provide(FederatedSearch)

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
