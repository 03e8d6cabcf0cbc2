"""The page of entities: every field with its type, default, limits and meaning."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, UniqueConstraint

import domain.entities
import domain.values
from domain.schema.base import Entity
from tests.docs.reference.limits import default_of, limits_of
from tests.docs.reference.markdown import code, paragraphs, table

HEAD = """\
# Entities

Each entity is one table. This page lists every field with its type, default and meaning. It is \
generated from the code by
`make docs`.

An entity is validated when you construct it and when you assign a field. A refused value raises \
`pydantic.ValidationError`,
which names the field and does not repeat the value. A field whose default is "the server's" is \
filled in by PostgreSQL when the
row is written. Import entities and enumerations from `domain`.
"""

_ANNOTATED = re.compile(r"Annotated\[(\w+),[^\]]*\]")


def page() -> str:
    """Return the page."""
    sections = [section for module in _modules() for section in _context(module)]
    return "\n".join([HEAD, "## Types of fields\n", _types(), "", *sections])


def _modules() -> list[ModuleType]:
    names = [each.name for each in pkgutil.iter_modules(domain.entities.__path__)]
    return [importlib.import_module(f"domain.entities.{name}") for name in names]


def _context(module: ModuleType) -> Iterator[str]:
    own = [each for each in vars(module).values() if _defined_in(module, each)]
    name = module.__name__.rpartition(".")[2]
    yield f"## {name.replace('_', ' ').capitalize()}\n\n{paragraphs(module)[0]}\n"
    for entity in own:
        if issubclass(entity, Entity) and "__table__" in vars(entity):
            yield from _entity(entity)
    for enumeration in own:
        if issubclass(enumeration, StrEnum):
            yield _enumeration(enumeration)


def _entity(entity: type[Entity]) -> Iterator[str]:
    yield f"### {entity.__name__}\n"
    yield f"Table `{entity.__table__.name}`. " + "\n\n".join(paragraphs(entity)) + "\n"
    rows = [_row(entity, name, annotation) for name, annotation in _annotations(entity).items()]
    yield table(("field", "type", "default", "meaning"), rows)
    yield ""
    if rules := list(_rules(entity)):
        yield "\n".join(f"- {rule}" for rule in rules) + "\n"


def _row(entity: type[Entity], name: str, annotation: str) -> tuple[str, str, str, str]:
    field = entity.model_fields[name]
    column = entity.__mapper__.column_attrs[name].columns[0]
    default = default_of(field, generated="a new id" if name == "id" else "empty")
    if column.server_default is not None and not column.nullable and field.default is None:
        default = "the server's"
    limits = limits_of(field)
    types = code(annotation) + (f", {limits}" if limits else "")
    renamed = f" Column `{column.name}`." if column.name != name else ""
    return code(name), types, default, (field.description or "") + renamed


def _annotations(entity: type[Entity]) -> dict[str, str]:
    """Return the type of each field as its class declares it."""
    written: dict[str, str] = {}
    for owner in reversed(entity.__mro__):
        written |= {
            name: str(text) for name, text in vars(owner).get("__annotations__", {}).items()
        }
    return {name: _ANNOTATED.sub(r"\1", written[name]) for name in entity.model_fields}


def _rules(entity: type[Entity]) -> Iterator[str]:
    """Yield the constraints that concern several fields, in a fixed order."""
    for constraint in sorted(entity.__table__.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, UniqueConstraint):
            yield f"Unique: {_columns(constraint.columns)} (`{constraint.name}`)"
        elif isinstance(constraint, ForeignKeyConstraint):
            parent = constraint.referred_table.name
            yield f"References `{parent}` by {_columns(constraint.columns)} (`{constraint.name}`)"
    for constraint in sorted(entity.__table__.constraints, key=lambda each: str(each.name)):
        if isinstance(constraint, CheckConstraint) and _concerns_several(entity, constraint):
            yield f"Check: `{constraint.sqltext}` (`{constraint.name}`)"
    for index in sorted(entity.__table__.indexes, key=lambda each: str(each.name)):
        if index.unique:
            condition = index.dialect_options["postgresql"]["where"]
            where = "" if condition is None else f" where `{condition}`"
            yield f"Unique: {_columns(index.columns)}{where} (`{index.name}`)"


def _concerns_several(entity: type[Entity], constraint: CheckConstraint) -> bool:
    own = {f"ck_{entity.__table__.name}_{column.name}" for column in entity.__table__.columns}
    return str(constraint.name) not in own


def _defined_in(module: ModuleType, value: object) -> bool:
    return isinstance(value, type) and value.__module__ == module.__name__


def _columns(columns: Iterable[Column[Any]]) -> str:
    return ", ".join(code(column.name) for column in columns)


def _enumeration(enumeration: type[StrEnum]) -> str:
    members = ", ".join(f"`{each.name}` = `{each.value}`" for each in enumeration)
    return f"### {enumeration.__name__}\n\n{paragraphs(enumeration)[0]} Values: {members}.\n"


def _types() -> str:
    names = {name for entity in _entities() for name in _words(entity)}
    documented = {name: text for name, text in _documented() if name in names}
    return table(
        ("type", "meaning"), [(code(name), documented[name]) for name in sorted(documented)]
    )


def _entities() -> Iterator[type[Entity]]:
    for module in _modules():
        for each in vars(module).values():
            if isinstance(each, type) and issubclass(each, Entity) and "__table__" in vars(each):
                yield each


def _words(entity: type[Entity]) -> set[str]:
    return {word for text in _annotations(entity).values() for word in re.findall(r"\w+", text)}


def _documented() -> Iterator[tuple[str, str]]:
    """Yield the names of `domain.values` that a docstring follows or that are enumerations."""
    folder = Path(next(iter(domain.values.__path__)))
    for file in sorted(folder.glob("*.py")):
        body = ast.parse(file.read_text(encoding="utf-8")).body
        for before, after in pairwise(body):
            match before, after:
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name)),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    yield name, " ".join(text.split())
        module = importlib.import_module(f"domain.values.{file.stem}")
        for name, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, StrEnum) and value.__members__:
                yield (
                    name,
                    f"{paragraphs(value)[0]} Values: " + ", ".join(code(v.value) for v in value),
                )
