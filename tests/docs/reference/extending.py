"""The page of the public classes and functions with which an application extends the layer."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final

import domain
import repositories
from repositories import base, searchable, unit_of_work
from repositories.fakes import repository as fakes
from repositories.fakes import searchable as fake_searchable
from repositories.migrations.application import application_migrations
from repositories.testing import contract, stateful, statements
from tests.docs.reference.markdown import code

INTRODUCTION: Final = """\
# Extending

The public classes and functions for an application's own entities, repositories, statements,
migrations and tests. The guide
[Add your own tables and statements](../howto/extend.md) shows how to use them."""

SECTIONS: Final[Sequence[tuple[str, Sequence[tuple[str, Any, Sequence[str]]]]]] = (
    (
        "Entities",
        (
            ("domain", domain.ApplicationEntity, ()),
            ("domain", domain.unique, ()),
            ("domain", domain.unique_where_not_null, ()),
            ("domain", domain.index, ()),
            ("domain", domain.references, ()),
            ("domain", domain.Searchable, ("search_weights", "search_text")),
            ("domain", domain.searchable, ()),
            ("repositories", repositories.register, ()),
        ),
    ),
    (
        "Repositories",
        (
            ("repositories.base", base.ReadRepository, ("tenant", "statements")),
            ("repositories.base", base.AppendRepository, ()),
            ("repositories.base", base.Repository, ()),
            ("repositories.searchable", searchable.SearchableReader, ()),
            ("repositories.fakes.repository", fakes.FakeReadRepository, ("tenant",)),
            ("repositories.fakes.repository", fakes.FakeRepository, ()),
            ("repositories.fakes.searchable", fake_searchable.FakeSearchableReader, ()),
        ),
    ),
    (
        "Statements",
        (
            (
                "repositories",
                unit_of_work.UnitOfWork,
                ("repository", "provide", "execute", "scalars", "stream"),
            ),
            ("repositories", repositories.tenant_equals, ()),
        ),
    ),
    (
        "Migrations",
        (("repositories.migrations.application", application_migrations, ()),),
    ),
    (
        "Tests",
        (
            ("repositories.testing.contract", contract.EntityContract, ("make",)),
            ("repositories.testing.statements", statements.require_tenant_conditions, ()),
            ("repositories.testing.stateful", stateful.compare_stores, ()),
            (
                "repositories.testing.stateful",
                stateful.World,
                ("existing", "id_of", "moment", "entities"),
            ),
            (
                "repositories.testing.stateful",
                stateful.Choices,
                ("below", "one_in", "pick", "maybe", "several"),
            ),
        ),
    ),
)

_ENUMERATED: Final = re.compile(r"<(\w+\.\w+): [^>]*>")
_QUOTED: Final = re.compile(r"(: |-> )'([^']*)'")
_ITEM: Final = re.compile(r"(\w+(?:, \w+)*): ")


def page() -> str:
    """Return the page."""
    return "\n\n".join([INTRODUCTION, *_parts()]) + "\n"


def _parts() -> Iterator[str]:
    for title, objects in SECTIONS:
        yield f"## {title}"
        for module, thing, members in objects:
            yield f"### {code(thing.__name__)}"
            yield code(f"{module}.{thing.__name__}{signature_of(thing)}")
            yield from text_of(thing)
            for member in members:
                yield from member_of(thing, member)


def member_of(owner: Any, name: str) -> Iterator[str]:
    """Yield the heading, the signature and the docstring of a method or property."""
    member = inspect.getattr_static(owner, name)
    yield f"#### {code(f'{owner.__name__}.{name}')}"
    if not isinstance(member, property):
        yield code(f"{name}{parameters_of(getattr(owner, name))}")
    yield from text_of(member if isinstance(member, property) else getattr(owner, name))


def parameters_of(method: Any) -> str:
    """Return the signature of a method without `self`."""
    return signature_of(method).replace("(self, ", "(").replace("(self)", "()")


def signature_of(thing: Any) -> str:
    """Return the signature of a function, as it is written in code; nothing for a class."""
    if isinstance(thing, type):
        return ""
    text = _ENUMERATED.sub(r"\1", str(inspect.signature(thing)))
    return _QUOTED.sub(r"\1\2", text).replace("datetime.timedelta", "timedelta")


def text_of(documented: object) -> Iterator[str]:
    """Yield the parts of a docstring: paragraphs, code, and lists of arguments and errors."""
    parts = (inspect.getdoc(documented) or "").split("\n\n")
    code_lines: list[str] = []
    for part in parts:
        if part.startswith("    "):
            code_lines.append(part)
            continue
        if code_lines:
            yield _block(code_lines)
            code_lines = []
        heading, _, rest = part.partition("\n")
        if heading in {"Args:", "Attributes:", "Raises:", "Raises on opening:"}:
            yield f"{heading}\n\n{_items(textwrap.dedent(rest))}"
        elif heading == "Returns:":
            yield f"{heading}\n\n- {' '.join(rest.split())}"
        else:
            paragraph = " ".join(part.split())
            yield f"{paragraph[:-2]}:" if paragraph.endswith("::") else paragraph
    if code_lines:
        yield _block(code_lines)


def _block(parts: Sequence[str]) -> str:
    return "```text\n" + textwrap.dedent("\n\n".join(parts)) + "\n```"


def _items(text: str) -> str:
    joined = re.sub(r"\n[ \t]+", " ", text).splitlines()
    items = [_ITEM.sub(_names, line, count=1) for line in joined]
    return "\n".join(f"- {item}" for item in items)


def _names(item: re.Match[str]) -> str:
    return ", ".join(map(code, item[1].split(", "))) + ": "
