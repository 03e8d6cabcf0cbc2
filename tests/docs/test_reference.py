"""The generated reference pages equal the code, and the generator notices what changes."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import BaseSettings

import domain
from domain import metadata
from repositories import Database, FakeDatabase
from repositories.postgres.settings import Settings
from tests.contract.ports import all_operations
from tests.docs.reference import arguments, database, entities, errors, values
from tests.docs.reference.limits import default_of, limits_of
from tests.docs.reference.pages import DOCS, pages, with_blocks


@pytest.fixture(scope="module")
def generated() -> dict[Path, str]:
    return pages()


def test_every_generated_page_is_up_to_date(generated: dict[Path, str]) -> None:
    outdated = [path.name for path, text in generated.items() if path.read_text() != text]
    assert outdated == [], "run `make docs`"


def test_every_field_of_every_table_is_on_the_page() -> None:
    page = entities.page()
    tables = {name for name in metadata.tables if f"Table `{name}`." in page}
    assert metadata.tables.keys() == tables, "run `make docs`"
    for name in tables:
        section = page.partition(f"Table `{name}`.")[2].partition("\n### ")[0]
        missing = [
            column.name
            for column in metadata.tables[name].columns
            if f"`{column.name}`" not in section and column.computed is None
        ]
        assert missing == [], name


def test_every_public_value_is_on_the_page() -> None:
    page = values.page()
    missing = [value.__name__ for value in values.values() if f"### `{value.__name__}`" not in page]
    assert missing == []


@pytest.mark.parametrize(
    "page",
    [DOCS.parent / "README.md", DOCS / "tutorial.md", *sorted((DOCS / "howto").glob("*.md"))],
    ids=lambda page: page.stem,
)
def test_every_field_argument_and_setting_of_a_guide_is_in_the_reference(
    generated: dict[Path, str], page: Path
) -> None:
    reference = "".join(generated.values())
    missing = {name for name in names_in(page.read_text()) if f"`{name}`" not in reference}
    assert missing == set()


def test_every_public_method_of_a_database_is_on_its_page() -> None:
    page = database.page()
    for kind in (Database, FakeDatabase):
        public = {name for name in dir(kind) if not name.startswith("_")}
        assert {name for name in public if f"#### `Database.{name}`" not in page} == set()


def test_every_operation_is_on_the_page_of_arguments() -> None:
    methods = {operation.rpartition(".")[2] for operation in all_operations()}
    page = arguments.page()
    assert {name for name in methods if not re.search(rf"^`{name}\(", page, re.MULTILINE)} == set()


def names_in(page: str) -> Iterator[str]:
    """Yield the arguments of public classes and methods, and the fields of public values."""
    public = {
        field.name
        for value in (*values.values(), *filter(dataclasses.is_dataclass, database.RESULTS))
        if dataclasses.is_dataclass(value)
        for field in dataclasses.fields(value)
    }
    classes = {*domain.__all__, "Settings", "FakeDatabase"}
    methods = {operation.rpartition(".")[2] for operation in all_operations()} | {*dir(Database)}
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        for node in ast.walk(ast.parse(block)):
            match node:
                case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in classes:
                    yield from (keyword.arg for keyword in keywords if keyword.arg)
                case ast.Call(func=ast.Attribute(attr=name), keywords=keywords) if name in methods:
                    yield from (keyword.arg for keyword in keywords if keyword.arg)
                case ast.Attribute(attr=name) if name in public:
                    yield name


def test_every_setting_has_a_description() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_public_error_is_in_the_table() -> None:
    public = {
        name
        for name in domain.__all__
        if isinstance(value := getattr(domain, name), type)
        and issubclass(value, domain.RecollectError)
    }
    assert {error.__name__ for error in errors.errors()} == public


def test_defaults_and_limits_are_read_from_the_field() -> None:
    class Example(BaseSettings):
        retries: int = Field(3, ge=1, le=1_000)
        name: str = Field(min_length=1, max_length=63)

    fields = Example.model_fields
    assert default_of(fields["retries"], generated="") == "`3`"
    assert limits_of(fields["retries"]) == "1 to 1,000"
    assert default_of(fields["name"], generated="") == "required"
    assert limits_of(fields["name"]) == "not empty, at most 63 characters"


def test_a_block_is_replaced_and_the_text_around_it_stays() -> None:
    page = "before\n<!-- generated: errors -->\nold\n<!-- end -->\nafter\n"
    replaced = with_blocks(page, {"errors": "new"})
    assert replaced == "before\n<!-- generated: errors -->\nnew\n<!-- end -->\nafter\n"
