"""Every public operation is documented on the ports, on PostgreSQL and on the fakes."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import domain.ports
from domain import ports
from domain.ports.implementing import implements
from repositories import Database, FakeDatabase, ReadUnitOfWork, UnitOfWork
from repositories.fakes.unit_of_work import FakeReader, FakeUnitOfWork
from repositories.registry import LIBRARY, resolve

UNITS = (UnitOfWork, ReadUnitOfWork, FakeUnitOfWork, FakeReader)


def port_classes() -> list[type[Any]]:
    members = (getattr(domain.ports, name) for name in domain.ports.__all__)
    return [member for member in members if inspect.isclass(member)]


def repositories_of(store: str) -> list[type[Any]]:
    implementations = [getattr(registration, store) for registration in LIBRARY]
    targets = [one.reader for one in implementations]
    targets += [one.repository for one in implementations if one.repository is not None]
    return [resolve(target) for target in targets]


def undocumented(kinds: list[type[Any]]) -> set[str]:
    """Return the public methods and properties without a docstring, with their class."""
    missing = set()
    for kind in kinds:
        for name in dir(kind):
            member = inspect.getattr_static(kind, name)
            is_operation = inspect.isfunction(member) or isinstance(member, property)
            if not name.startswith("_") and is_operation and not member.__doc__:
                missing.add(f"{kind.__name__}.{name}")
    return missing


def unexplained_arguments(kind: type[Any]) -> set[str]:
    """Return the arguments of public methods that `Args:` of their docstrings leaves out."""
    missing = set()
    for name, method in inspect.getmembers(kind, inspect.isfunction):
        if not name.startswith("_"):
            explained = set(re.findall(r"^ +(\w+): ", method.__doc__ or "", re.MULTILINE))
            parameters = set(inspect.signature(method).parameters) - {"self"}
            missing |= {f"{kind.__name__}.{name}: {each}" for each in parameters - explained}
    return missing


@pytest.mark.parametrize(
    "kind", [*port_classes(), Database, FakeDatabase], ids=lambda kind: kind.__name__
)
def test_every_argument_of_an_operation_is_explained(kind: type[Any]) -> None:
    assert unexplained_arguments(kind) == set()


@pytest.mark.parametrize(
    "kinds",
    [
        port_classes(),
        repositories_of("postgres"),
        repositories_of("fake"),
        list(UNITS),
        [Database, FakeDatabase],
    ],
    ids=["ports", "PostgreSQL", "fakes", "units of work", "databases"],
)
def test_every_public_method_has_a_docstring(kinds: list[type[Any]]) -> None:
    assert kinds
    assert undocumented(kinds) == set(), (
        "write a docstring on the port, and decorate the class with @implements(ports.<Name>Reader)"
        " or @implements(ports.<Name>Repository)"
    )


def test_a_method_has_the_docstring_of_its_port_on_every_store() -> None:
    for registration in LIBRARY:
        port = resolve(registration.port) if registration.port else ports.Repository
        for implementation in (registration.postgres, registration.fake):
            repository = resolve(implementation.repository or implementation.reader)
            for name, method in inspect.getmembers(port, inspect.isfunction):
                written = getattr(repository, name, None)
                if not name.startswith("_") and written is not None:
                    assert written.__doc__ == method.__doc__, f"{repository.__name__}.{name}"


def test_a_docstring_of_its_own_stays_and_a_private_method_gets_none() -> None:
    class Port:
        def own(self) -> None:
            """From the port."""

        def copied(self) -> None:
            """From the port."""

        @property
        def size(self) -> int:
            """The size."""
            return 0

    @implements(Port)
    class Implementation:
        def own(self) -> None:
            """From the class."""

        def copied(self) -> None: ...

        def _hidden(self) -> None: ...

        @property
        def size(self) -> int:
            return 1

    texts = [getattr(Implementation, name).__doc__ for name in ("own", "copied", "_hidden", "size")]
    assert texts == ["From the class.", "From the port.", None, "The size."]
    assert Implementation().size == 1
