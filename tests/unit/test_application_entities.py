"""An application's own entities: registration, and refusals with advice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID

import pytest
from annotated_types import Ge
from pydantic import BaseModel, ValidationError
from sqlalchemy import (
    ARRAY,
    NUMERIC,
    VARCHAR,
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    Numeric,
    String,
    Text,
    Uuid,
    text,
)
from sqlalchemy import UniqueConstraint as Unique
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB, ExcludeConstraint
from sqlmodel import Field

from domain import (
    ApplicationEntity,
    Entity,
    Finding,
    InvalidEntity,
    InvalidFilter,
    NotRegistered,
    RegistrationError,
    Review,
    Searchable,
    Severity,
    application_metadata,
    references,
    searchable,
    unique,
    where,
)
from domain.schema.metaclass import EntityMeta
from domain.values.text import Name
from repositories import FakeDatabase, register
from repositories.registry import LIBRARY, Implementation, generic_registration, registry_for


class Parcel(ApplicationEntity, table=True):
    """A parcel that a test sends."""

    __tablename__ = "test_parcels"
    __table_args__ = (unique("number"), references(Review, "review_id"))

    number: int = Field(ge=1, description="Number of the parcel.")
    review_id: UUID = Field(description="Review that it is for.")


class Label(ApplicationEntity, table=True):
    """A label on a parcel."""

    __tablename__ = "test_parcel_labels"
    __table_args__ = (references(Parcel, "parcel_id"),)

    parcel_id: UUID
    label: Name


@pytest.fixture(autouse=True)
def forget_tables() -> Iterator[None]:
    """Remove the tables that a test defines."""
    before = set(application_metadata.tables)
    yield
    for name in set(application_metadata.tables) - before:
        application_metadata.remove(application_metadata.tables[name])


@pytest.mark.parametrize("options", [{}, {"table": True}])
def test_a_subclass_of_an_entity_with_a_table_is_refused_when_it_is_defined(
    options: dict[str, Any],
) -> None:
    for base in (Finding, Parcel):
        with pytest.raises(InvalidEntity, match=f"rows are loaded as {base.__name__}"):
            EntityMeta("Own", (base,), {"__module__": __name__}, **options)
    FakeDatabase()


def test_an_entity_without_a_tenant_is_refused_when_it_is_defined() -> None:
    with pytest.raises(InvalidEntity, match="Loose has no tenant: derive it from Application"):

        class Loose(Entity, table=True):
            id: UUID = Field(primary_key=True)


@pytest.mark.parametrize("annotation", [list[str], dict, set[int] | None, int | str, Any, "Later"])
def test_a_field_without_a_column_type_is_refused_and_named(annotation: object) -> None:
    with pytest.raises(InvalidEntity, match=r"Refused\d+\.labels: write .* sa_type="):
        define(__annotations__={"number": int, "labels": annotation})
    FakeDatabase()


def test_an_enumeration_of_other_values_than_texts_is_refused_and_named() -> None:
    class Color(Enum):
        RED = 1

    Mixed = Enum("Mixed", {"RED": "red"}, type=str)  # noqa: N806 -- the name of a class
    enumerations: list[type[Enum]] = [Color, Mixed]
    for enum in enumerations:
        with pytest.raises(InvalidEntity, match=rf"labels: .* {enum.__name__} .* enum.StrEnum"):
            define(__annotations__={"number": int, "labels": enum})
    FakeDatabase()


async def test_values_of_plain_types_compare_as_on_postgresql() -> None:
    class Measure(ApplicationEntity, table=True):
        """A measurement of a test."""

        __tablename__ = "test_measures"
        at: datetime
        ratio: float
        exact: Decimal

    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    exact = Decimal("12345678901234567890.123456789")
    async with FakeDatabase(entities=[Measure]).unit_of_work() as uow:
        measures = uow.repository(Measure)
        await measures.add_many(
            Measure(at=noon, ratio=ratio, exact=exact) for ratio in (1.0, math.nan, math.inf)
        )
        assert await measures.count(where("at").at_least(noon)) == 3
        assert await measures.count(where("at").less_than(noon)) == 0
        with pytest.raises(InvalidFilter, match="write one with tzinfo=UTC"):
            await measures.count(where("at").equals(noon.replace(tzinfo=None)))
        assert await measures.count(where("exact").equals(exact)) == 3
        # PostgreSQL sorts NaN after every number.
        assert await measures.count(where("ratio").at_least(1.0)) == 3
        assert await measures.count(where("ratio").greater_than(1.0)) == 2
        assert await measures.count(where("ratio").at_most(1.0)) == 1


async def test_a_column_of_64_bits_is_compared_in_its_range() -> None:
    class Weight(ApplicationEntity, table=True):
        """A weight of a test."""

        __tablename__ = "test_weights"
        grams: int = Field(sa_type=BigInteger)
        boxes: int

    async with FakeDatabase(entities=[Weight]).unit_of_work() as uow:
        weights = uow.repository(Weight)
        await weights.add_many([Weight(grams=2**40, boxes=1)])
        assert await weights.count(where("grams").equals(2**40)) == 1
        assert await weights.count(where("grams").less_than(-(2**63))) == 0
        for condition in (where("grams").equals(2**63), where("boxes").equals(2**31)):
            with pytest.raises(InvalidFilter, match="within the range of the column"):
                await weights.count(condition)


@pytest.mark.parametrize("argument", [None, "Parcel", [Parcel]])
async def test_what_is_not_a_class_has_no_repository(argument: Any) -> None:
    async with FakeDatabase().unit_of_work() as uow:
        with pytest.raises(NotRegistered, match="takes the class of an entity"):
            uow.repository(argument)
        with pytest.raises(NotRegistered, match="takes the class of a port"):
            uow.provide(argument)


@pytest.mark.parametrize(
    ("table", "owner"), [("reviews", ", in the library: give"), ("test_parcels", ": give")]
)
def test_a_table_that_exists_is_refused_when_it_is_named_again(table: str, owner: str) -> None:
    with pytest.raises(InvalidEntity, match=f"the table {table} of Again exists already{owner}"):
        EntityMeta(
            "Again",
            (ApplicationEntity,),
            {"__module__": __name__, "__tablename__": table},
            table=True,
        )


def test_an_own_entity_is_validated_and_has_names_and_comments_as_the_librarys_have() -> None:
    with pytest.raises(ValidationError, match="number"):
        Parcel(number=0, review_id=UUID(int=1))
    parcel = Parcel(number=1, review_id=UUID(int=1))
    with pytest.raises(ValidationError):
        parcel.number = -1
    table = Parcel.__table__
    assert [column.name for column in table.primary_key] == ["tenant", "id"]
    assert {str(rule.name) for rule in table.constraints} == {
        "pk_test_parcels",
        "uq_test_parcels_tenant_number",
        "fk_test_parcels_reviews",
        "ck_test_parcels_number",
    }
    assert table.c.number.comment == "Number of the parcel."
    assert table.comment == "A parcel that a test sends."


async def test_types_of_sqlalchemy_become_those_that_both_stores_have() -> None:
    class Written(ApplicationEntity, table=True):
        """A row with columns whose types its author wrote."""

        __tablename__ = "test_written"
        labels: tuple[str, ...] = Field(sa_type=ARRAY(String))
        options: dict[str, Any] = Field(sa_type=JSONB)
        at: datetime = Field(sa_type=DateTime(timezone=True))
        person: UUID = Field(sa_type=postgresql.UUID)
        price: Decimal = Field(sa_type=NUMERIC(12, 2))
        name: str = Field(sa_type=VARCHAR)

    types = {column.name: str(column.type) for column in Written.__table__.columns}
    assert (types["options"], types["price"], types["name"]) == ("JSONB", "NUMERIC(12, 2)", "TEXT")
    now = datetime.now(UTC)
    values: dict[str, Any] = {
        "labels": ("a", "b"),
        "options": {"a": [1]},
        "at": now,
        "person": UUID(int=1),
        "price": Decimal("1.50"),
        "name": "Ada",
    }
    database = FakeDatabase(entities=[Written])
    async with database.unit_of_work() as uow:
        written = uow.repository(Written).add(Written(**values))
        await uow.commit()
    async with database.reader() as view:
        read = await view.repository(Written).get(written.id)
        assert {name: getattr(read, name) for name in values} == values
        rows = view.repository(Written)
        assert await rows.count(where("options", "a").exists()) == 1
        for condition, number in (
            (where("labels").contains("a"), 1),
            (where("labels").contains("c"), 0),
            (where("labels").contains_any(["b", "c"]), 1),
            (where("labels").contains_all(["a", "c"]), 0),
        ):
            assert await rows.count(condition) == number
        for refused in (where("labels").contains(7), where("labels").equals("a")):
            with pytest.raises(InvalidFilter, match="labels"):
                await rows.count(refused)


async def test_a_date_is_compared_with_dates_alone() -> None:
    class Due(ApplicationEntity, table=True):
        """A row with a date."""

        __tablename__ = "test_due"
        day: Annotated[date, Ge(date(2026, 1, 1))]

    with pytest.raises(ValidationError, match="day"):
        Due(day=date(2025, 12, 31))
    database = FakeDatabase(entities=[Due])
    async with database.unit_of_work() as uow:
        uow.repository(Due).add(Due(day=date(2026, 3, 1)))
        await uow.commit()
    async with database.reader() as view:
        rows = view.repository(Due)
        assert await rows.count(where("day").at_least(date(2026, 3, 1))) == 1
        assert await rows.count(where("day").less_than(date(2026, 3, 1))) == 0
        others: list[Any] = [datetime(2026, 3, 1, tzinfo=UTC), "2026-03-01", 20260301]
        for other in others:
            with pytest.raises(InvalidFilter, match=r"write a date, such as value\.date\(\)"):
                await rows.count(where("day").equals(other))


def test_json_and_lists_of_an_own_entity_are_frozen_when_they_are_assigned() -> None:
    class Configured(ApplicationEntity, table=True):
        """A row with JSON that its author declared as a dictionary and a list."""

        __tablename__ = "test_configured"
        options: dict[str, Any] = Field(default_factory=dict, sa_type=JSONB)
        steps: list[dict[str, int]] | None = Field(default=None, sa_type=JSONB)
        tags: list[str] = Field(default_factory=list, sa_type=ARRAY(String))

    options = {"a": [1]}
    entity, default = Configured(options=options, steps=[{"b": 2}], tags=["a"]), Configured()
    assert (entity.options, entity.steps, default.options) == ({"a": [1]}, [{"b": 2}], {})
    assert (entity.tags, default.tags) == (["a"], [])
    default.steps = [{"c": 3}]
    constructed: Any = entity.steps
    assigned: Any = default.steps
    changes: list[Callable[[], object]] = [
        lambda: entity.options.update(b=2),
        lambda: entity.options["a"].append(2),
        constructed[0].clear,
        lambda: entity.tags.append("b"),
        lambda: default.tags.extend(["b"]),
        lambda: default.options.setdefault("a", 1),
        lambda: assigned.append({}),
    ]
    for change in changes:
        with pytest.raises(TypeError, match="assign a new value to the field"):
            change()
    options["a"].append(2)
    assert entity.options == {"a": [1]}
    with pytest.raises(ValidationError, match=r"datetime is not JSON: write value.isoformat\(\)"):
        Configured(options={"at": datetime.now(UTC)})
    with pytest.raises(ValidationError, match="options"):
        entity.options = {"a": "\0"}
    entity.steps = None
    assert Configured.model_validate_json(entity.model_dump_json()) == entity


def test_an_entity_of_a_module_that_is_imported_twice_is_refused() -> None:
    with pytest.raises(InvalidEntity, match=r"Parcel of another\.name exists already, in .* once"):
        EntityMeta(
            "Parcel",
            (ApplicationEntity,),
            {"__module__": "another.name", "__tablename__": "test_parcels"},
            table=True,
        )


def test_an_entity_of_a_module_whose_first_import_failed_names_that_import() -> None:
    with pytest.raises(InvalidEntity, match="an earlier import of this module: if that import"):
        EntityMeta(
            "Parcel",
            (ApplicationEntity,),
            {"__module__": Parcel.__module__, "__tablename__": "test_parcels"},
            table=True,
        )


def test_an_entity_that_is_registered_after_the_database_is_made_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Late(ApplicationEntity, table=True):
        """An entity of a module that is imported late."""

        __tablename__ = "test_late"

    monkeypatch.setattr("repositories.registry._registered", {})
    database = FakeDatabase(entities=[])
    register(Late, name="late_parcels")
    with pytest.raises(NotRegistered, match="import its module before you make the database"):
        database.unit_of_work().repository(Late)


NUMBERS = count()


def define(*, bases: tuple[type, ...] = (ApplicationEntity,), **members: Any) -> Any:
    """Define an entity with a name and a table of its own."""
    name = f"Refused{next(NUMBERS)}"
    namespace = {"__module__": __name__, "__tablename__": f"test_{name.lower()}", **members}
    return EntityMeta(name, bases, namespace, table=True)


def with_search(
    *, bases: tuple[type, ...] = (Searchable, ApplicationEntity), **weights: str
) -> Any:
    fields = {"title": str, "size": int}
    rules = searchable("title", **weights)
    return define(bases=bases, __annotations__=fields, __table_args__=rules)


def with_rule(rule: Any) -> Any:
    return define(__annotations__={"size": int}, __table_args__=(rule,))


def with_field(kind: Any, **options: Any) -> Any:
    return define(__annotations__={"size": kind}, size=Field(**options))


def with_array(kind: Any) -> Any:
    return with_field(kind, sa_type=ARRAY(String))


class Options(BaseModel):
    """A model in a column of JSON."""

    size: int = 1


REFUSED: list[tuple[str, Callable[[], Any]]] = [
    ("is a class, and this is Parcel: pass", lambda: Parcel(number=1, review_id=UUID(int=1))),
    ("is a class, and this is str: pass", lambda: "Parcel"),
    ("has no name: write CheckConstraint", lambda: with_rule(CheckConstraint("size > 2"))),
    ("ExcludeConstraint of Refused", lambda: with_rule(ExcludeConstraint(("size", "=")))),
    ("names the schema app", lambda: with_rule({"schema": "app"})),
    ("Refused.*size is an array, which a row has as a list", lambda: with_array(set[str] | None)),
    ("which a row has as a list", lambda: with_array(tuple[str, str])),
    ("which a row has as a list", lambda: with_array(list)),
    ("which a row has with texts", lambda: with_array(list[Severity])),
    ("size is an array of arrays", lambda: with_array(list[list[str]])),
    ("size is an array of arrays", lambda: with_array(tuple[tuple[str, ...] | None, ...])),
    ("which a row has with texts", lambda: with_array(tuple[Severity, ...])),
    ("size is JSON, which a row has as", lambda: with_field(Options, sa_type=JSONB)),
    ("size is JSON, which a row has as", lambda: with_field(set[str], sa_type=JSONB)),
    ("size is JSON, which a row has as", lambda: with_field(datetime, sa_type=JSONB)),
    ("declared as str, and rows have int", lambda: with_field(str, sa_type=Integer)),
    ("declared as int, and rows have Decimal", lambda: with_field(int, sa_type=Numeric(10, 0))),
    ("declared as float, and rows have Decimal", lambda: with_field(float, sa_type=Numeric)),
    ("declared as bool, and rows have int", lambda: with_field(bool | None, sa_type=Integer)),
    ("declared as str, and rows have UUID", lambda: with_field(str, sa_type=Uuid)),
    ("as_uuid=False, .* remove as_uuid", lambda: with_field(str, sa_type=Uuid(as_uuid=False))),
    (
        "asdecimal=False, .* remove asdecimal",
        lambda: with_field(float, sa_type=Numeric(10, 2, asdecimal=False)),
    ),
    ("declared as datetime, and rows have date", lambda: with_field(datetime, sa_type=Date)),
    (
        "declared as date, and rows have datetime",
        lambda: with_field(date, sa_type=DateTime(timezone=True)),
    ),
    ("declared as Severity, and rows have str", lambda: with_field(Severity, sa_type=Text)),
    ("declared as Path, and rows have str", lambda: with_field(Path)),
    (
        "declared as int, and rows have str",
        lambda: with_field(list[int], sa_type=ARRAY(Text)),
    ),
    ("with a time zone", lambda: with_field(datetime, sa_type=DateTime)),
    (r"write Field\(max_length=5\)", lambda: with_field(str, sa_type=String(5))),
    ("has no tenant", lambda: Review),
    ("has no tenant", lambda: int),
    ("has no table", lambda: ApplicationEntity),
    ("cannot evaluate the condition", lambda: with_rule(CheckConstraint("size % 2 = 0", "even"))),
    ("does not begin with the tenant", lambda: with_rule(Unique("size"))),
    (
        "write `references",
        lambda: with_rule(
            ForeignKeyConstraint(["tenant", "size"], ["test_parcels.tenant", "test_parcels.id"])
        ),
    ),
    ("primary key", lambda: with_field(int, primary_key=True)),
    ("is not a field", lambda: with_rule(Column("more", Integer))),
    ("computed by the server", lambda: with_rule(Column("more", Integer, Computed("size * 2")))),
    (
        "default of the server alone",
        lambda: with_field(int, sa_column_kwargs={"server_default": text("random()")}),
    ),
    ("unique\\(\\) names no column", lambda: with_rule(unique())),
    ("names a column that is not a field: .* 'weight'", lambda: with_rule(unique("weight"))),
    ("not int: write `references", lambda: with_rule(references(cast("Any", int), "size"))),
    ("the table nope, which does not exist", lambda: with_rule(references("nope", "size"))),
    ("weights from A to D", lambda: with_search(title="Z")),
    ("weights from A to D", with_search),
    ("names nope, which is not a field", lambda: with_search(nope="A")),
    ("names size, which is not a field", lambda: with_search(size="A")),
    ("needs both `Searchable` before", lambda: with_search(bases=(ApplicationEntity,), title="A")),
    ("needs both `Searchable` before", lambda: define(bases=(Searchable, ApplicationEntity))),
    (
        "cannot store the column size of type",
        lambda: with_field(int, sa_type=type("Odd", (Integer,), {})),
    ),
]


@pytest.mark.parametrize(
    ("reason", "make"),
    REFUSED,
    ids=[f"{number} {reason}" for number, (reason, _) in enumerate(REFUSED)],
)
def test_an_entity_that_cannot_be_stored_is_refused_when_it_is_registered(
    reason: str, make: Callable[[], Any]
) -> None:
    with pytest.raises(InvalidEntity, match=reason):
        register(make())


def test_two_foreign_keys_to_one_parent_need_names() -> None:
    fields: dict[str, Any] = {"__annotations__": {"sender": UUID, "receiver": UUID}}
    keys = (references(Parcel, "sender"), references(Parcel, "receiver"))
    with pytest.raises(InvalidEntity, match=r'references\(Parent, "column", name="fk_test_refused'):
        register(define(**fields, __table_args__=keys))
    named = (
        references(Parcel, "sender"),
        references(Parcel, "receiver", name="fk_transfers_receiver"),
    )
    transfer = define(**fields, __table_args__=named)
    FakeDatabase(entities=[Parcel, transfer])
    assert {key.name for key in transfer.__table__.foreign_key_constraints} == {
        f"fk_{transfer.__tablename__}_test_parcels",
        "fk_transfers_receiver",
    }


def test_an_entity_is_registered_once() -> None:
    with pytest.raises(RegistrationError, match="registered twice"):
        registry_for([Parcel, Parcel])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("commit", "every unit of work has an attribute `commit`"),
        ("reviews", "every unit of work has an attribute `reviews`"),
        ("_parcels", "does not begin with an underscore"),
        ("test parcels", "is an identifier"),
    ],
)
def test_a_name_that_a_unit_of_work_has_or_cannot_have_is_refused(name: str, reason: str) -> None:
    with pytest.raises(RegistrationError, match=f"cannot be the name of a repository.* {reason}"):
        register(Parcel, name=name)


def test_a_repository_on_postgresql_needs_its_counterpart() -> None:
    with pytest.raises(RegistrationError, match="register `fake` for `repository`"):
        register(Parcel, repository="repositories.base:Repository")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module:Labels", "'no_such_module:Labels' cannot be imported"),
        ("repositories.fakes:Labels", "write it as `module:Class`"),
        (int, "int, which is registered as 'test_parcels', does not derive from"),
    ],
)
def test_a_class_that_is_not_a_repository_is_refused_when_it_is_used(
    target: Any, reason: str
) -> None:
    registration = replace(generic_registration(Parcel), fake=Implementation(target, target))
    with pytest.raises(RegistrationError, match=reason):
        FakeDatabase(entities=[registration]).unit_of_work().repository(Parcel)


def test_an_entity_whose_parent_is_not_registered_is_refused() -> None:
    with pytest.raises(NotRegistered, match="Label refers to the table test_parcels"):
        FakeDatabase(entities=[Label])


def test_parents_come_first_whatever_the_order_they_are_listed_in() -> None:
    assert registry_for([Label, Parcel]).application_entities == (Parcel, Label)


def test_two_databases_have_different_entities() -> None:
    with_parcels, without = FakeDatabase(entities=[Parcel]), FakeDatabase(entities=[])
    assert with_parcels.unit_of_work().repository(Parcel)
    with pytest.raises(NotRegistered, match="Parcel is not registered in this database"):
        without.unit_of_work().repository(Parcel)
    assert registry_for([]) is LIBRARY
