"""Rules for every table, checked on the metadata; each rule detects a planted violation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    Enum,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Sequence,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
)
from sqlalchemy.dialects.postgresql.base import PGDialect
from sqlalchemy.sql.elements import conv
from sqlalchemy.types import SchemaType

from domain import metadata
from domain.schema.constraints import NAMING_CONVENTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.sql.schema import SchemaItem

WITHOUT_TENANT = {"global_patterns", "embedding_metadata"}
MAX_NAME_BYTES = 63
EVENTS = ("before_create", "after_create", "before_drop", "after_drop")
UNIQUE_PER_TENANT = (PrimaryKeyConstraint, UniqueConstraint)
PREPARER: Any = PGDialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy types no dialect
MOVES_TENANTS = {"SET NULL", "SET DEFAULT"}


def violations(tables: MetaData) -> list[str]:
    """Return a sentence for each violation of a rule."""
    sentences = [f"the metadata listens to {name}" for name in listened_to(tables)]
    for table in tables.sorted_tables:
        sentences.extend(f"{table.name} {what}" for rule in RULES for what in rule(table))
    return sentences


def listened_to(thing: MetaData | Table) -> Iterator[str]:
    """Yield the events of DDL that have a listener, except those of a column's former type."""
    for name in EVENTS:
        for listener in getattr(thing.dispatch, name):
            if not isinstance(
                getattr(getattr(listener, "func", listener), "__self__", None), SchemaType
            ):
                yield name


def keys_begin_with_the_tenant(table: Table) -> Iterator[str]:
    if table.name in WITHOUT_TENANT:
        return
    keys: list[tuple[Any, list[str]]] = [
        (constraint.name, [column.name for column in constraint.columns])
        for constraint in table.constraints
        if isinstance(constraint, (*UNIQUE_PER_TENANT, ForeignKeyConstraint))
    ]
    keys += [
        (index.name, [column.name for column in index.columns])
        for index in table.indexes
        if index.unique
    ]
    for name, columns in keys:
        if columns[:1] != ["tenant"]:
            yield f"has a key without the tenant first: {name}"
    for constraint in table.foreign_key_constraints:
        if [element.target_fullname.partition(".")[2] for element in constraint.elements][:1] != [
            "tenant"
        ]:
            yield f"refers to a key without the tenant first: {constraint.name}"
    if "tenant" not in table.c or table.c.tenant.nullable:
        yield "has rows without a tenant"


def ids_come_from_the_client(table: Table) -> Iterator[str]:
    for column in table.columns:
        default = column.default
        if column.identity is not None or isinstance(default, Sequence):
            yield f"numbers its rows by {column.name}"
    # SQLAlchemy would create this column as a serial.
    if table.autoincrement_column is not None:
        yield f"has a serial {table.autoincrement_column.name}"


def nothing_happens_by_itself(table: Table) -> Iterator[str]:
    yield from (f"listens to {name}" for name in listened_to(table))


def enumerations_are_text(table: Table) -> Iterator[str]:
    yield from (
        f"has a type of its own for {column.name}"
        for column in table.columns
        if isinstance(column.type, Enum)
    )


def constraints_are_plain(table: Table) -> Iterator[str]:
    for constraint in table.constraints:
        if constraint.deferrable or constraint.initially:
            yield f"has a constraint that can wait: {constraint.name}"
    for key in table.foreign_key_constraints:
        if key.onupdate is not None:
            yield f"has a key that follows updates: {key.name}"
        if (key.ondelete or "").upper() in MOVES_TENANTS:
            yield f"has a key that is emptied: {key.name}"


def names_are_short(table: Table) -> Iterator[str]:
    inside = {
        thing.name
        for things in (table.constraints, table.indexes, table.columns)
        for thing in things
    }
    for name in (table.name, *map(in_the_database, inside)):
        if len(name.encode()) > MAX_NAME_BYTES:
            yield f"has a long name: {name}"


def in_the_database(name: object) -> str:
    """Return the name in the database: SQLAlchemy shortens only those of a naming convention."""
    short: str = (
        PREPARER.truncate_and_render_constraint_name(name) if isinstance(name, conv) else str(name)
    )
    return short.strip('"')


def everything_is_explained(table: Table) -> Iterator[str]:
    if not table.comment:
        yield "has no comment"
    for column in table.columns:
        if not column.comment:
            yield f"does not explain {column.name}"


RULES = (
    keys_begin_with_the_tenant,
    ids_come_from_the_client,
    nothing_happens_by_itself,
    enumerations_are_text,
    constraints_are_plain,
    names_are_short,
    everything_is_explained,
)


def test_the_tables_of_the_entities_follow_every_rule() -> None:
    assert len(metadata.tables) >= 18
    assert violations(metadata) == []


def plain_table(*items: SchemaItem, name: str = "things", **options: Any) -> Table:
    """Return a table that follows every rule, except for `items`."""
    return Table(
        name,
        MetaData(naming_convention=NAMING_CONVENTION),
        Column("tenant", Text, primary_key=True, comment="Whose."),
        Column("id", Uuid, primary_key=True, comment="Which."),
        Column("parent_id", Uuid, comment="Of what."),
        *items,
        **{"comment": "Things.", **options},
    )


def referring(*columns: str, **options: Any) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        columns, [f"things.{column.removeprefix('parent_')}" for column in columns], **options
    )


PLANTED: dict[str, Callable[[], Table]] = {
    "has a key without the tenant first: uq_things_parent_id": lambda: plain_table(
        UniqueConstraint("parent_id")
    ),
    "has a key without the tenant first: uq_things_parent_id_tenant": lambda: plain_table(
        UniqueConstraint("parent_id", "tenant")
    ),
    "has a key without the tenant first: ix_things_parent_id": lambda: plain_table(
        Index(None, "parent_id", unique=True)
    ),
    "has a key without the tenant first: fk_things_things": lambda: plain_table(
        referring("parent_id", "tenant")
    ),
    "refers to a key without the tenant first: fk_things_things": lambda: plain_table(
        ForeignKeyConstraint(["tenant", "parent_id"], ["things.id", "things.tenant"])
    ),
    "has rows without a tenant": lambda: Table(
        "things", MetaData(), Column("id", Uuid, comment="Which."), comment="Things."
    ),
    "has a serial number": lambda: plain_table(
        Column("number", Integer, primary_key=True, autoincrement=True, comment="n")
    ),
    "numbers its rows by number": lambda: plain_table(
        Column("number", Integer, Identity(), comment="n")
    ),
    "numbers its rows by other": lambda: plain_table(
        Column("other", Integer, Sequence("others"), comment="n")
    ),
    "listens to after_create": lambda: with_trigger(plain_table()),
    "has a type of its own for mood": lambda: plain_table(
        Column("mood", Enum("good", "bad", name="mood"), comment="m")
    ),
    "has a constraint that can wait: uq_things_tenant_parent_id": lambda: plain_table(
        UniqueConstraint("tenant", "parent_id", deferrable=True)
    ),
    "has a constraint that can wait: fk_things_things": lambda: plain_table(
        referring("tenant", "parent_id", initially="DEFERRED")
    ),
    "has a key that follows updates: fk_things_things": lambda: plain_table(
        referring("tenant", "parent_id", onupdate="CASCADE")
    ),
    "has a key that is emptied: fk_things_things": lambda: plain_table(
        referring("tenant", "parent_id", ondelete="SET NULL")
    ),
    f"has a long name: {'i' * 64}": lambda: plain_table(Index("i" * 64, "tenant")),
    f"has a long name: ck_things_{'ä' * 27}": lambda: plain_table(
        CheckConstraint("true", name="ä" * 27)
    ),
    f"has a long name: {'t' * 64}": lambda: plain_table(name="t" * 64),
    f"has a long name: {'c' * 64}": lambda: plain_table(Column("c" * 64, Text, comment="c")),
    "has no comment": lambda: plain_table(comment=None),
    "does not explain mood": lambda: plain_table(Column("mood", Text)),
}


def on_creation(*_: object, **__: object) -> None:
    """Stand in for a listener that creates a trigger."""


def with_trigger(table: Table) -> Table:
    event.listen(table, "after_create", on_creation)
    return table


@pytest.mark.parametrize("what", PLANTED)
def test_every_rule_detects_its_planted_violation(what: str) -> None:
    table = PLANTED[what]()
    assert f"{table.name} {what}" in violations(table.metadata)


def test_a_table_that_follows_every_rule_has_no_violation() -> None:
    assert (
        violations(plain_table(referring("tenant", "parent_id", ondelete="CASCADE")).metadata) == []
    )


def test_a_listener_of_the_metadata_is_a_violation() -> None:
    scratch = MetaData()
    event.listen(scratch, "before_create", on_creation)
    assert violations(scratch) == ["the metadata listens to before_create"]
