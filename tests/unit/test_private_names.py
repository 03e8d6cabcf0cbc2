"""The packages use no private name of another library, except in one module."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from pydantic import BaseModel
from sqlalchemy.pool import QueuePool

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT: Final = Path(__file__).parents[2]
OWN: Final = ("domain", "repositories")
EXCEPTION: Final = ROOT / "repositories" / "postgres" / "private_api.py"
"""Names that this module uses; test_private_api.py asserts them."""

MODULES: Final = {
    path: path.read_text()
    for package in OWN
    for path in sorted((ROOT / package).rglob("*.py"))
    if path != EXCEPTION
}
DOCUMENTED: Final = {
    *("__pydantic_fields__", "__pydantic_validator__"),
    *("_asdict", "_fields", "_make", "_replace"),
}
"""Attributes that the documentation of pydantic's models and of Python's named tuples lists."""

PRIVATE: Final = re.compile(r"_[A-Za-z]\w*|__(pydantic|sqlmodel|sa)_\w*__")


def is_private(name: str) -> bool:
    return PRIVATE.fullmatch(name) is not None and name not in DOCUMENTED


def assigned_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that the code defines: functions, classes, variables, attributes, slots."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.id
            case ast.Attribute(value=ast.Name(id="self" | "cls"), ctx=ast.Store()):
                yield node.attr
            case ast.Assign(targets=[ast.Name(id="__slots__")]):
                yield from ast.literal_eval(node.value)


@cache
def own_names() -> frozenset[str]:
    return frozenset(
        name for source in MODULES.values() for name in assigned_names(ast.parse(source))
    )


def is_foreign(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] not in OWN


def private_names(source: str) -> list[str]:
    """Return the private names of other libraries that the source uses, and calls of `eval`."""
    tree = ast.parse(source)
    own = own_names() | set(assigned_names(tree))
    used: list[str] = []
    pieces = {
        part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                parts = [part for alias in node.names for part in alias.name.split(".")]
                used += filter(is_private, parts)
            case ast.ImportFrom() if is_foreign(node.module):
                parts = [*str(node.module).split("."), *(alias.name for alias in node.names)]
                used += filter(is_private, parts)
            case ast.Attribute(attr="__class__" as name, ctx=ast.Store()):
                used.append(name)
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                used.append(name)
            case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                if is_private(name) and name not in own and node not in pieces:
                    used.append(name)
    return used


def overridden(cls: type, names: Iterable[str]) -> list[str]:
    """Return those private names of the class that a base class of another library has as well."""
    foreign = [base for base in cls.__mro__[1:-1] if is_foreign(base.__module__)]
    return sorted(
        name
        for name in set(names)
        if is_private(name) and any(hasattr(base, name) for base in foreign)
    )


def names_of(cls: type, source: str) -> Iterator[str]:
    """Yield the names that the class itself defines, in the source of its module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
            yield from assigned_names(node)


def classes() -> Iterator[tuple[type, str]]:
    for path, source in MODULES.items():
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if "migrations.revisions" in name or name.endswith("migrations.env"):
            continue  # Alembic runs those
        module = importlib.import_module(name)
        for _, cls in inspect.getmembers(module, inspect.isclass):
            if cls.__module__ == name:
                yield cls, source


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from sqlmodel._compat import partial_init", ["_compat"]),
        ("from sqlalchemy.util import _collections", ["_collections"]),
        ("import pydantic._internal._repr", ["_internal", "_repr"]),
        ("def f(statement):\n    return statement._compile_w_cache(None)", ["_compile_w_cache"]),
        ("class C(B):\n    def f(self):\n        self._top_xact = None", []),
        ("def f(connection):\n    connection._top_xact = None", ["_top_xact"]),
        ("def f(pool):\n    return pool._max_overflow", ["_max_overflow"]),
        (
            "def f(handler):\n    return handler.__name__ == '_sighandler_noop'",
            ["_sighandler_noop"],
        ),
        ("def f(entity):\n    return vars(entity)['_sa_instance_state']", ["_sa_instance_state"]),
        ("def f(entity):\n    return entity.__pydantic_private__", ["__pydantic_private__"]),
        ("def f(attribute, cls):\n    attribute.__class__ = cls", ["__class__"]),
        ("def f(text):\n    return eval(text)", ["eval"]),
    ],
)
def test_a_planted_private_name_is_seen(source: str, names: list[str]) -> None:
    assert private_names(source) == names


@pytest.mark.parametrize(
    "source",
    [
        "from __future__ import annotations",
        "from domain.schema.base import _bounds",
        "class C:\n    def __init__(self):\n        self._x = 1\n\ndef f(c: C):\n    return c._x",
        "def f(entity):\n    return entity.__table__, entity.__pydantic_fields__",
        "for _, name in []:\n    pass",
    ],
)
def test_public_and_own_names_are_allowed(source: str) -> None:
    assert private_names(source) == []


def test_a_planted_override_is_seen() -> None:
    class Planted(QueuePool):
        def _do_return_conn(self, record: Any) -> None: ...

    class Harmless(BaseModel):
        def _of_our_own(self) -> None: ...

    assert overridden(Planted, vars(Planted)) == ["_do_return_conn"]
    assert overridden(Harmless, ["_of_our_own"]) == []


def test_no_private_name_of_another_library_is_used() -> None:
    used = {str(path.relative_to(ROOT)): private_names(source) for path, source in MODULES.items()}
    assert {path: names for path, names in used.items() if names} == {}


def test_no_class_overrides_a_private_name_of_another_library() -> None:
    overrides = {
        cls.__qualname__: overridden(cls, names_of(cls, source)) for cls, source in classes()
    }
    assert len(overrides) > 100
    assert {name: names for name, names in overrides.items() if names} == {}
