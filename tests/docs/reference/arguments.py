"""The page of arguments: the signature, arguments and errors of every operation."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Final, get_origin

from domain import ports
from tests.contract.ports import is_port, parts_of
from tests.docs.reference.extending import parameters_of, text_of
from tests.docs.reference.markdown import code

HEAD: Final = """\
# Arguments

The arguments and errors of every operation. [Operations](operations.md) lists the operations in
tables, with one line each. This page is generated from the code by `make docs`."""

COMMON: Final[Sequence[Any]] = (
    ports.ReadRepository,
    ports.AppendRepository,
    ports.Repository,
)
REPAIRS: Final[Sequence[Any]] = (ports.RepairReader, ports.Repairs)


def page() -> str:
    """Return the page."""
    return "\n\n".join([HEAD, *_parts()]) + "\n"


def _parts() -> Iterator[str]:
    yield "## Units of work"
    yield from _methods("uow", ports.UnitOfWork)
    yield "## Every repository"
    yield "These methods are on every repository that stores one kind of entity."
    for port in COMMON:
        yield from _own_methods("", port)
    for name, part in parts_of(ports.UnitOfWork):
        methods = list(_methods(name, part))
        if methods:
            yield f"## `{name}`"
            yield from methods
    yield "## Changing the embedding model"
    yield "These methods are on `knowledge` and on `memories`."
    for port in REPAIRS:
        yield from _own_methods("", port)


def _methods(path: str, part: Any) -> Iterator[str]:
    """Yield the methods of a port and of its bases, without those of several repositories."""
    shared = {*COMMON, *REPAIRS}
    shown: set[str] = set()
    for port in inspect.getmro(get_origin(part) or part):
        if is_port(port) and port not in shared:
            yield from _own_methods(path, port, shown)


def _own_methods(path: str, port: Any, shown: set[str] | None = None) -> Iterator[str]:
    for name, method in vars(port).items():
        if name.startswith("_") or not inspect.isfunction(method) or name in (shown or ()):
            continue
        if shown is not None:
            shown.add(name)
        yield f"### {code(f'{path}.{name}' if path else name)}"
        yield code(f"{name}{parameters_of(method)}")
        yield from text_of(getattr(port, name))
