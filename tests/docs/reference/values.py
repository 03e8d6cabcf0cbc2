"""The page of values: what operations take and return."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final

import domain
from tests.docs.reference.extending import text_of
from tests.docs.reference.markdown import code, table

HEAD: Final = """\
# Values

What operations take and return, other than entities: claims, filters, hits, figures and \
enumerations. This page lists every field with its
type. It is generated from the code by `make docs`. Import all names from `domain`."""

PACKAGES: Final = ("domain.values.", "domain.results")

MODULES: Final = (
    "values.claims",
    "values.search",
    "values.filters",
    "values.reranking",
    "results",
    "values.reembedding",
    "values.plans",
    "values.paging",
    "values.insights",
    "values.usage",
    "values.classification",
    "values.embedding",
    "values.transactions",
)


def page() -> str:
    """Return the page."""
    return "\n\n".join([HEAD, *(part for name in MODULES for part in _module(name))]) + "\n"


def values() -> Iterator[type[Any]]:
    """Yield the public classes of `domain.values` and `domain.results`."""
    for name in domain.__all__:
        value = getattr(domain, name)
        if inspect.isclass(value) and value.__module__.startswith(PACKAGES):
            yield value


def _module(name: str) -> Iterator[str]:
    module = importlib.import_module(f"domain.{name}")
    yield f"## {name.rpartition('.')[2].capitalize()}"
    yield from text_of(module)
    public = [each for each in values() if each.__module__ == module.__name__]
    for value in sorted(public, key=lambda each: inspect.getsourcelines(each)[1]):
        yield f"### {code(value.__name__)}"
        yield from text_of(value)
        yield from _members(value)


def _members(value: type[Any]) -> Iterator[str]:
    if issubclass(value, StrEnum):
        if meanings := _documented(value):
            rows = [(code(each.name), code(each.value), meanings[each.name]) for each in value]
            yield table(("member", "value", "meaning"), rows)
        else:
            yield "Values: " + ", ".join(f"`{each.name}` = `{each.value}`" for each in value) + "."
        return
    if dataclasses.is_dataclass(value):
        fields = [each for each in dataclasses.fields(value) if not each.name.startswith("_")]
        if fields:
            rows = [(code(each.name), code(each.type), _default(each)) for each in fields]
            yield table(("field", "type", "default"), rows)
    if methods := list(_methods(value)):
        yield table(("method or property", "meaning"), methods)


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
        return ""
    return code(repr(field.default)) if field.default is not dataclasses.MISSING else "empty"


def _methods(value: type[Any]) -> Iterator[tuple[str, str]]:
    for name, member in vars(value).items():
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        summary = next(text_of(member), "")
        if isinstance(member, property):
            yield code(name), summary
        else:
            parameters = list(inspect.signature(member).parameters.values())[1:]
            yield code(f"{name}({', '.join(map(_shown, parameters))})"), summary


def _shown(parameter: inspect.Parameter) -> str:
    return str(parameter.replace(annotation=inspect.Parameter.empty))


def _documented(enumeration: type[StrEnum]) -> dict[str, str]:
    """Return the docstrings that follow the members in the source."""
    [definition] = ast.parse(inspect.getsource(enumeration)).body
    assert isinstance(definition, ast.ClassDef)
    meanings: dict[str, str] = {}
    for before, after in pairwise(definition.body):
        match before, after:
            case ast.Assign(targets=[ast.Name(id=name)]), ast.Expr(
                value=ast.Constant(value=str(text))
            ):
                meanings[name] = " ".join(text.split())
    return meanings
