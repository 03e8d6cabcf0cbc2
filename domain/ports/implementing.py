"""Classes that implement ports: their docstrings, and the checks of their arguments."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static, isfunction
from typing import Any, TypeVar

from domain.ports.arguments import checked

C = TypeVar("C", bound=type)


def implements(*ports: type[Any]) -> Callable[[C], C]:
    """Return a class decorator that copies docstrings from ports, and checks arguments.

    A public method or property without a docstring gets that of the first port that has one of the
    same name, so `help(uow.knowledge.upsert_many)` describes the operation on every store. A public
    method refuses arguments that are not of the types that the port annotates.

    Args:
        ports: the protocols that the class implements.
    """

    def decorate(implementation: C) -> C:
        for name, member in list(vars(implementation).items()):
            if name.startswith("_"):
                continue
            if (text := _docstring(name, ports)) is not None:
                _document(implementation, name, member, text)
            if isfunction(member) and isfunction(port := _member(name, ports)):
                setattr(implementation, name, checked(member, port))
        return implementation

    return decorate


def checks_arguments(implementation: C) -> C:
    """Refuse arguments that are not of the types that the methods of this class annotate.

    It checks the constructor and the public methods of the class itself.
    """
    for name, member in list(vars(implementation).items()):
        if isfunction(member) and (name == "__init__" or not name.startswith("_")):
            setattr(implementation, name, checked(member, member))
    return implementation


def _docstring(name: str, ports: tuple[type[Any], ...]) -> str | None:
    member = _member(name, ports)
    return None if member is None else member.__doc__


def _member(name: str, ports: tuple[type[Any], ...]) -> Any:
    members = (getattr_static(port, name, None) for port in ports)
    return next((member for member in members if member is not None), None)


def _document(implementation: type[Any], name: str, member: object, text: str) -> None:
    if isfunction(member):
        member.__doc__ = member.__doc__ or text
    elif isinstance(member, property) and not member.__doc__:
        setattr(implementation, name, property(member.fget, member.fset, member.fdel, text))
