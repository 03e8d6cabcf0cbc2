"""One transaction of one tenant in one task, and its read-only sibling."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, overload
from uuid import UUID

from domain.entities.reviews import SuppressionLogEntry
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
)
from domain.ports.runs import CheckpointReader, CheckpointRepository, RunReader, RunRepository
from domain.ports.searchable import SearchableEntity, SearchableReader, SearchableRepository
from domain.ports.telemetry import TelemetryReader, TelemetryRepository

if TYPE_CHECKING:
    from domain.values.plans import SearchPlan

E = TypeVar("E")
R = TypeVar("R")
S = TypeVar("S", bound=SearchableEntity)


class TenantTransaction(Protocol):
    """One transaction of one tenant in one task."""

    @property
    def tenant(self) -> str:
        """The tenant of the rows."""
        ...

    def provide(self, port: Callable[..., R]) -> R:
        """Return the repository that is registered with a port, such as `provide(LabelReader)`.

        The properties of a unit of work are short for it.

        Args:
            port: class of the port.

        Raises:
            NotRegistered: none is, or the port writes and this is only for reads.
        """
        ...

    @property
    def corpora(self) -> FederatedSearch:
        """Search of several corpora at once."""
        return self.provide(FederatedSearch)

    def explaining(self) -> AbstractContextManager[list[SearchPlan]]:
        """Collect the plan of each search in the block: `with view.explaining() as plans: …`.

        Each search is executed a second time for it.
        """
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class ReadUnitOfWork(TenantTransaction, Protocol):
    """Reads in one read-only transaction, of one tenant, in one task.

    There is nothing to add and nothing to commit.
    """

    @overload
    def repository(self, entity: type[S]) -> SearchableReader[S]: ...

    @overload
    def repository(self, entity: type[E]) -> ReadRepository[E]: ...

    def repository(self, entity: type[Any]) -> Any:
        """Return the repository of an entity, the library's or an application's.

        Args:
            entity: class of the entity.

        Raises:
            NotRegistered: the entity is not registered in this database.
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
    def suppressions(self) -> ReadRepository[SuppressionLogEntry]:
        """Suppressions that reviews applied."""
        return self.repository(SuppressionLogEntry)

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


class UnitOfWork(TenantTransaction, Protocol):
    """Reads and writes in one transaction, of one tenant, in one task.

    Leaving it without `commit` discards all changes. A statement that fails outside a savepoint
    aborts it: every later call raises TransactionAborted.
    """

    @property
    def operation_id(self) -> UUID:
        """The id that `outcome` takes after the outcome of a commit was lost."""
        ...

    @property
    def committed(self) -> bool | None:
        """Whether it was committed; None if the outcome of a commit is unknown.

        After a cancelled commit, it says what happened.
        """
        ...

    @overload
    def repository(self, entity: type[S]) -> SearchableRepository[S]: ...

    @overload
    def repository(self, entity: type[E]) -> Repository[E]: ...

    def repository(self, entity: type[Any]) -> Any:
        """Return the repository of an entity, the library's or an application's.

        Args:
            entity: class of the entity.

        Raises:
            NotRegistered: the entity is not registered in this database.
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
    def suppressions(self) -> Repository[SuppressionLogEntry]:
        """Suppressions that reviews applied."""
        return self.repository(SuppressionLogEntry)

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

    async def flush(self) -> None:
        """Write added and changed entities now, so that a violated constraint is raised here."""
        ...

    async def commit(self) -> None:
        """Commit all changes, and end the unit of work.

        A cancellation during COMMIT is raised after the server has answered; `committed` then says
        what happened. If one statement writes everything, it is sent without BEGIN and counts as
        the COMMIT.

        Raises:
            TransactionAborted: an earlier statement failed; nothing was committed.
            ConstraintViolated: an added or changed entity violates a constraint; nothing was
                committed.
            CommitOutcomeUnknown: the connection was lost after COMMIT was sent.
        """
        ...

    async def rollback(self) -> None:
        """Discard all changes, and end the unit of work."""
        ...

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Return a block that is rolled back alone.

        An exception that leaves the block rolls it back, and the unit of work stays usable.

        Raises:
            UnitOfWorkError: when you enter it twice, or leave it before another one inside it.
        """
        ...
