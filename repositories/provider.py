"""Repositories of one unit of work or reader, created on first use."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from domain.errors import NotRegistered

if TYPE_CHECKING:
    from repositories.registry import Implementation, Registration, Registry

R = TypeVar("R")


class RepositoryProvider:
    """Creates each repository of its registry when it is first used.

    Opening a unit of work takes as long with a hundred registered repositories as with one.
    """

    def __init__(
        self, transaction: Any, registry: Registry, generic: Implementation, *, writes: bool
    ) -> None:
        self._provided_for = transaction
        self._registry = registry
        self._generic = generic
        self._writes = writes
        self._repositories: dict[Any, Any] = {}

    def repository(self, entity: type[Any]) -> Any:
        """Return the repository of an entity.

        Raises:
            NotRegistered: the entity is not registered in this database.
        """
        if not isinstance(entity, type):
            raise NotRegistered("repository takes the class of an entity, such as KnowledgeChunk")
        try:
            return self._repositories[entity]
        except KeyError:
            return self._remember(entity, self._registry.for_entity(entity))

    def provide(self, port: Callable[..., R]) -> R:
        """Return the repository that is registered with a port.

        Raises:
            NotRegistered: none is, or a reader is asked for a repository that writes.
        """
        if not isinstance(port, type):
            raise NotRegistered("provide takes the class of a port, such as KnowledgeRepository")
        try:
            provided: R = self._repositories[port]
        except KeyError:
            registration = self._registry.for_port(port, writes=self._writes)
            provided = self._remember(port, registration)
        return provided

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # Type checkers know the library's repositories from the ports. For those of an
            # application there are `repository` and `provide`.
            if not name.startswith("_") and name in self._registry:
                return self._remember(name, self._registry.named(name))
            raise AttributeError(
                f"{type(self).__name__!r} has no attribute {name!r}, and no repository with this"
                " name is registered"
            )

    def _remember(self, key: Any, registration: Registration) -> Any:
        created = self._repositories.get(registration.name)
        if created is None:
            created = registration.create(self._provided_for, self._generic, writes=self._writes)
            self._repositories[registration.name] = created
        self._repositories[key] = created
        return created
