"""The registry: which repositories a unit of work has, and which classes implement them.

One line registers a repository of the library, with its name, its entity, its ports and its
classes. An application registers its own entities with `repositories.register`, which adds lines of
the same kind. Units of work, readers, fakes and the contract suite read the registry.

The registry stores import paths ("module:Class"). Each store imports only its own classes, and only
those that a unit of work uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from domain.errors import NotRegistered, RegistrationError
from domain.schema.application import require_application_entity
from domain.schema.registries import in_order, metadata
from domain.schema.searchable import Searchable
from domain.values.shown import kind_of

if TYPE_CHECKING:
    from domain.schema.base import Entity

Target: TypeAlias = "type[Any] | str"
"""A class, or its import path as "module:Class"."""


def resolve(target: Target) -> type[Any]:
    """Return the class at an import path.

    Raises:
        RegistrationError: the module or the class does not exist.
    """
    return _imported(target) if isinstance(target, str) else target


@cache
def _imported(target: str) -> type[Any]:
    module, _, name = target.partition(":")
    try:
        resolved: type[Any] = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RegistrationError(
            f"{target!r} cannot be imported: {error}; write it as `module:Class`"
        ) from None
    return resolved


def path_of(target: Target) -> str:
    """Return the import path of a class."""
    return target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"


@dataclass(frozen=True, slots=True)
class Implementation:
    """The classes of one store.

    Without a `repository`, a unit of work gets the reader's methods and the generic methods that
    write.
    """

    reader: Target
    repository: Target | None = None


POSTGRES: Final = Implementation("repositories.base:ReadRepository", "repositories.base:Repository")
"""The generic repositories on PostgreSQL."""

FAKE: Final = Implementation(
    "repositories.fakes.repository:FakeReadRepository",
    "repositories.fakes.repository:FakeRepository",
)
"""The generic repositories in memory."""


SEARCHABLE: Final = Implementation("repositories.searchable:SearchableReader")
"""The repository of a searchable entity on PostgreSQL."""

FAKE_SEARCHABLE: Final = Implementation("repositories.fakes.searchable:FakeSearchableReader")
"""The repository of a searchable entity in memory."""


@dataclass(frozen=True, slots=True)
class Registration:
    """One repository of a unit of work.

    Attributes:
        name: the attribute of the unit of work.
        entity: what the repository stores; None for one that is not about one entity.
        port: the type of the repository in a unit of work, None for `Repository[entity]`.
        reader_port: the type of the repository in a reader, None for `ReadRepository[entity]`.
        postgres: the classes that implement it on PostgreSQL.
        fake: the classes that implement it in memory.
    """

    name: str
    entity: Target | None
    port: Target | None = None
    reader_port: Target | None = None
    postgres: Implementation = POSTGRES
    fake: Implementation = FAKE

    @property
    def entity_class(self) -> type[Entity] | None:
        """The class of the entity; it is imported."""
        return None if self.entity is None else resolve(self.entity)

    def create(self, transaction: Any, generic: Implementation, *, writes: bool) -> Any:
        """Return the repository of a transaction, in the store that `generic` belongs to."""
        implementation = self.postgres if generic is POSTGRES else self.fake
        repository = _class_of(implementation, generic, writes)
        base = resolve(generic.reader)
        if self.entity is not None and not issubclass(repository, base):
            raise RegistrationError(
                f"{repository.__name__}, which is registered as {self.name!r}, does not derive from"
                f" {path_of(base).replace(':', '.')}"
            )
        entity = self.entity_class
        return repository(transaction) if entity is None else repository(transaction, entity)


@cache
def _class_of(implementation: Implementation, generic: Implementation, writes: bool) -> type[Any]:  # noqa: FBT001 -- a cache key
    reader = resolve(implementation.reader)
    if not writes:
        return reader
    if implementation.repository is not None:
        return resolve(implementation.repository)
    repository = resolve(generic.repository or generic.reader)
    if issubclass(repository, reader):
        return repository
    name = reader.__name__.removesuffix("Reader") + "Repository"
    return type(
        name, (reader, repository), {"__module__": reader.__module__, "__doc__": reader.__doc__}
    )


class Registry:
    """An immutable set of registrations, by name, by entity and by port.

    `application` are those of the application.
    """

    def __init__(
        self, registrations: Iterable[Registration], application: Iterable[Registration] = ()
    ) -> None:
        self.application: Final = tuple(application)
        self._by_name: dict[str, Registration] = {}
        self._by_entity: dict[str, Registration] = {}
        self._by_port: dict[str, Registration] = {}
        self._by_class: dict[tuple[Target, bool], Registration] = {}
        for registration in (*registrations, *self.application):
            self._add(registration)

    def __iter__(self) -> Iterator[Registration]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @property
    def application_entities(self) -> tuple[type[Entity], ...]:
        """The application's own entities, parents first."""
        entities = [each.entity_class for each in self.application]
        return tuple(in_order([entity for entity in entities if entity is not None]))

    def extended(self, registrations: Iterable[Registration]) -> Registry:
        """Return a registry with these registrations as well.

        Raises:
            RegistrationError: a name, an entity or a port is registered twice.
        """
        return Registry(self, registrations)

    def named(self, name: str) -> Registration:
        """Return the registration with this name.

        Raises:
            NotRegistered: there is none.
        """
        return self._find(self._by_name, name, f"no repository has the name {name!r}")

    def for_entity(self, entity: Target) -> Registration:
        """Return the registration of this entity.

        Raises:
            NotRegistered: there is none.
        """
        path = path_of(entity)
        short = path.rpartition(":")[2]
        if path in self._by_port:
            raise NotRegistered(f"{short} is a port, not an entity: write `provide({short})`")
        if path not in self._by_entity and path in map(_entity_path, _registered.values()):
            raise NotRegistered(
                f"{short} is not one of this database's entities: import its module before you make"
                " the database, or add it to `entities=[…]`"
            )
        return self._find(self._by_entity, path, f"{short} is not registered in this database")

    def for_port(self, port: Target, *, writes: bool) -> Registration:
        """Return the registration with this port.

        Raises:
            NotRegistered: there is none, or it writes and the caller is a reader.
        """
        try:
            return self._by_class[port, writes]
        except KeyError:
            registration = self._by_class[port, writes] = self._for_port(port, writes=writes)
            return registration

    def _for_port(self, port: Target, *, writes: bool) -> Registration:
        path = path_of(port)
        short = path.rpartition(":")[2]
        if path in self._by_entity:
            raise NotRegistered(f"{short} is an entity, not a port: write `repository({short})`")
        registration = self._find(
            self._by_port,
            path,
            f"no repository with the port {short} is registered in this database",
        )
        reader = registration.reader_port
        if not writes and reader is not None and path_of(reader) != path:
            other = path_of(reader).rpartition(":")[2]
            raise NotRegistered(f"a reader has no {short}: pass {other}, which only reads")
        return registration

    def _add(self, registration: Registration) -> None:
        ports = {registration.port, registration.reader_port} - {None}
        indexes = [(self._by_name, registration.name)]
        if registration.entity is not None:
            indexes.append((self._by_entity, path_of(registration.entity)))
        indexes.extend((self._by_port, path_of(port)) for port in ports if port is not None)
        for index, key in indexes:
            if key in index:
                raise RegistrationError(
                    f"{key} is registered twice, as {index[key].name!r} and as"
                    f" {registration.name!r}: keep one registration, and use one name for each"
                )
            index[key] = registration

    @staticmethod
    def _find(index: dict[str, Registration], key: str, message: str) -> Registration:
        try:
            return index[key]
        except KeyError:
            raise NotRegistered(
                f"{message}: call `repositories.register` when its module is imported, or pass the"
                " entity to the database as `entities=[…]`"
            ) from None


def _library(
    name: str, module: str, entity: str, stem: str, *, writes: bool = True
) -> Registration:
    """Return the registration of a repository of this library, by its conventions for names.

    Args:
        name: the attribute of the unit of work.
        module: the module of the entity, the ports and the classes.
        entity: the class name of the entity.
        stem: the class names without prefix and without `Reader` or `Repository`.
        writes: there is a class for the unit of work; otherwise the generic methods are added.
    """

    def implementation(prefix: str) -> Implementation:
        repository = f"{prefix}{stem}Repository" if writes else None
        return Implementation(f"{prefix}{stem}Reader", repository)

    return Registration(
        name,
        f"domain.entities.{module}:{entity}",
        port=f"domain.ports.{module}:{stem}Repository",
        reader_port=f"domain.ports.{module}:{stem}Reader",
        postgres=implementation(f"repositories.{module}:"),
        fake=implementation(f"repositories.fakes.{module}:Fake"),
    )


LIBRARY: Final = Registry(
    (
        _library("knowledge", "knowledge", "KnowledgeChunk", "Knowledge"),
        replace(
            _library("embedding_metadata", "knowledge", "EmbeddingMetadata", "EmbeddingMetadata"),
            entity=None,
        ),
        _library("reviews", "reviews", "Review", "Review", writes=False),
        _library("findings", "reviews", "Finding", "Finding"),
        Registration("suppressions", "domain.entities.reviews:SuppressionLogEntry"),
        _library("reactions", "reviews", "FeedbackReaction", "Reaction"),
        _library("memories", "learning", "LearningMemory", "Memory"),
        _library("patterns", "learning", "GlobalPattern", "Pattern"),
        _library("runs", "runs", "RunState", "Run"),
        _library("checkpoints", "runs", "ReviewCheckpoint", "Checkpoint"),
        _library("authors", "authors", "AuthorCacheEntry", "Author"),
        _library("dependency_bumps", "dependencies", "DependencyBumpMerge", "DependencyBump"),
        _library("telemetry", "telemetry", "TelemetryEvent", "Telemetry"),
        Registration(
            "corpora",
            None,
            port="domain.ports.federated_search:FederatedSearch",
            reader_port="domain.ports.federated_search:FederatedSearch",
            postgres=Implementation(
                "repositories.federated_search:FederatedSearch",
                "repositories.federated_search:FederatedSearch",
            ),
            fake=Implementation(
                "repositories.fakes.federated_search:FakeFederatedSearch",
                "repositories.fakes.federated_search:FakeFederatedSearch",
            ),
        ),
    )
)
"""The repositories of the library."""

_registered: Final[dict[str, Registration]] = {}


def add_registration(registration: Registration) -> None:
    """Add a registration to the default set, which databases use that name no entities.

    Raises:
        RegistrationError: its name, entity or port is registered already.
    """
    LIBRARY.extended([*_registered.values(), registration])
    _registered[registration.name] = registration


def _can_iterate(value: object) -> bool:
    return isinstance(value, Iterable)


def _entity_path(registration: Registration) -> str | None:
    return None if registration.entity is None else path_of(registration.entity)


def registry_for(entities: Iterable[type[Entity] | Registration] | None) -> Registry:
    """Return the registry of a database.

    Args:
        entities: the application's own entities or their registrations; None stands for all that
            were registered so far.

    Raises:
        RegistrationError: an entity cannot be stored, is listed twice, or refers to one that is
            not listed.
    """
    if entities is not None and not _can_iterate(entities):
        raise RegistrationError(
            f"entities must be a list of entity classes, not {kind_of(entities)}:"
            " write `entities=[…]`"
        )
    registrations = (
        list(_registered.values())
        if entities is None
        else [_registration(each) for each in entities]
    )
    if not registrations:
        return LIBRARY
    registry = LIBRARY.extended(registrations)
    tables = {entity.__table__ for entity in registry.application_entities}
    for entity in registry.application_entities:
        for key in entity.__table__.foreign_key_constraints:
            parent = key.referred_table
            if parent.metadata is not metadata and parent not in tables:
                raise NotRegistered(
                    f"{entity.__name__} refers to the table {parent.name}, whose entity is not"
                    " registered in this database: add it to `entities`"
                )
    return registry


def generic_registration(entity: type[Entity]) -> Registration:
    """Return the registration of an entity without operations of its own."""
    name = str(entity.__tablename__)
    if issubclass(entity, Searchable):
        return Registration(name, entity, postgres=SEARCHABLE, fake=FAKE_SEARCHABLE)
    return Registration(name, entity)


def _registration(entity: type[Entity] | Registration) -> Registration:
    if isinstance(entity, Registration):
        return entity
    path = path_of(require_application_entity(entity))
    registrations = (each for each in _registered.values() if path_of(each.entity or "") == path)
    return next(registrations, generic_registration(entity))
