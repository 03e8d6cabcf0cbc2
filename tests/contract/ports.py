"""List the operations of the ports by reading the protocols."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_origin, get_type_hints

import domain
import domain.ports
from domain.ports import ReadUnitOfWork, UnitOfWork

_NAMES = {**{name: getattr(domain, name) for name in domain.__all__}, **vars(domain.ports)}
"""Names that annotations of a protocol use; most are imported for type checkers only."""

UNITS: dict[str, type[Any]] = {"uow": UnitOfWork, "view": ReadUnitOfWork}


def is_port(kind: Any) -> bool:
    """Return whether it is a protocol, with type arguments or without."""
    return bool(getattr(get_origin(kind) or kind, "_is_protocol", False))


def parts_of(port: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and protocols of the port's parts.

    Its properties that are ports themselves.
    """
    for name, member in inspect.getmembers(get_origin(port) or port):
        if isinstance(member, property) and not name.startswith("_"):
            kind = get_type_hints(member.fget, {**vars(inspect.getmodule(member.fget)), **_NAMES})[
                "return"
            ]
            if is_port(kind):
                yield name, kind


def methods_of(port: Any) -> set[str]:
    """Return the names of the port's own and inherited public methods."""
    return {
        name
        for name, _ in inspect.getmembers(get_origin(port) or port, inspect.isfunction)
        if not name.startswith("_")
    }


def operations(port: Any, path: str) -> Iterator[str]:
    """Yield every method of the port and of its parts, by the path that leads there.

    `uow.telemetry.rate_limits.count`.
    """
    yield from (f"{path}.{name}" for name in methods_of(port))
    for name, part in parts_of(port):
        yield from operations(part, f"{path}.{name}")


def all_operations() -> set[str]:
    """Return everything that can be asked of a unit of work and of a reader."""
    return {operation for path, port in UNITS.items() for operation in operations(port, path)}


def reached(port: Any) -> Iterator[Any]:
    """Yield the port, its parts, and the protocols that they are made of."""
    yield from (base for base in inspect.getmro(get_origin(port) or port) if is_port(base))
    for _, part in parts_of(port):
        yield from reached(part)
