"""Docstrings of ports on the classes that implement them."""

from __future__ import annotations

from collections.abc import Callable
from inspect import getattr_static, isfunction
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def documented_by(*ports: type[Any]) -> Callable[[C], C]:
    """Return a class decorator that copies docstrings from ports.

    A public method or property without a docstring gets that of the first port that has one of the
    same name, so `help(uow.knowledge.upsert_many)` describes the operation on every store.

    Args:
        ports: the protocols that the class implements.
    """

    def decorate(implementation: C) -> C:
        for name, member in list(vars(implementation).items()):
            if not name.startswith("_") and (text := _docstring(name, ports)) is not None:
                _document(implementation, name, member, text)
        return implementation

    return decorate


def _docstring(name: str, ports: tuple[type[Any], ...]) -> str | None:
    members = (getattr_static(port, name, None) for port in ports)
    return next((member.__doc__ for member in members if member is not None), None)


def _document(implementation: type[Any], name: str, member: object, text: str) -> None:
    if isfunction(member):
        member.__doc__ = member.__doc__ or text
    elif isinstance(member, property) and not member.__doc__:
        setattr(implementation, name, property(member.fget, member.fset, member.fdel, text))
