"""Registering an application's own entities and repositories."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from domain.errors import RegistrationError
from domain.ports import UnitOfWork
from domain.schema.application import require_application_entity
from repositories.fakes.tables import read_application_table
from repositories.registry import (
    Implementation,
    Registration,
    add_registration,
    generic_registration,
)

if TYPE_CHECKING:
    from domain.schema.base import ApplicationEntity
    from repositories.registry import Target


def register(
    entity: type[ApplicationEntity],
    *,
    name: str | None = None,
    repository: Target | None = None,
    reader: Target | None = None,
    fake: Target | None = None,
    fake_reader: Target | None = None,
    port: Target | None = None,
    reader_port: Target | None = None,
) -> Registration:
    """Register an entity, and the repositories that store it, for every database opened later.

    Call it once, when the module of the entity is imported. Classes can be import paths such as
    "shop.labels:LabelRepository", so that a unit test with the fake imports no driver.

    Args:
        entity: a class with a table that derives from `ApplicationEntity`.
        name: the attribute of a unit of work, by default the name of the table.
        repository: a class that derives from `repositories.base.Repository`, for units of work.
        reader: a class that derives from `repositories.base.ReadRepository`, for readers.
        fake: the counterpart of `repository` in memory, which derives from
            `repositories.fakes.repository.FakeRepository`.
        fake_reader: the counterpart of `reader` in memory.
        port: the class that `uow.provide` takes, by default `repository`.
        reader_port: the class that `view.provide` takes, by default `reader`.

    Raises:
        InvalidEntity: the entity cannot be stored, or the fake cannot evaluate one of its rules.
        RegistrationError: the name, the entity or a port is registered already, or a class on
            PostgreSQL has no counterpart in memory.
    """
    generic = generic_registration(require_application_entity(entity))
    registration = replace(
        generic,
        name=name or generic.name,
        port=port or repository,
        reader_port=reader_port or reader,
        postgres=_implementation(generic.postgres, reader, repository),
        fake=_implementation(generic.fake, fake_reader, fake),
    )
    _require_name(registration.name)
    if (repository is None, reader is None) != (fake is None, fake_reader is None):
        raise RegistrationError(
            f"{entity.__name__} has a repository or a reader on one store only: register `fake` for"
            " `repository`, and `fake_reader` for `reader`"
        )
    read_application_table(entity)
    add_registration(registration)
    return registration


def _implementation(
    generic: Implementation, reader: Any | None, repository: Any | None
) -> Implementation:
    if reader is None and repository is None:
        return generic
    return Implementation(reader or generic.reader, repository)


def _require_name(name: str) -> None:
    if not name.isidentifier() or name.startswith("_"):
        raise RegistrationError(
            f"{name!r} cannot be the name of a repository: pass a `name` that is an identifier and"
            " does not begin with an underscore"
        )
    if hasattr(UnitOfWork, name):
        raise RegistrationError(
            f"{name!r} cannot be the name of a repository, because every unit of work has an"
            f" attribute `{name}`: pass another `name`"
        )
