"""The base of every entity: what is declared once becomes validation, column, CHECK and comment."""

from __future__ import annotations

from copy import deepcopy
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from uuid import UUID

from annotated_types import Ge, Gt, Le
from pydantic.fields import FieldInfo as PydanticFieldInfo
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DefaultClause,
    Double,
    Float,
    MetaData,
    Table,
    func,
    text,
)
from sqlalchemy import Text as SqlText
from sqlalchemy.orm import Mapper, registry
from sqlalchemy.orm.attributes import InstrumentedAttribute, instance_state, set_attribute
from sqlmodel import Field, SQLModel
from sqlmodel.main import FieldInfo, SQLModelMetaclass
from sqlmodel.sql.sqltypes import AutoString
from typing_extensions import dataclass_transform
from uuid_utils.compat import uuid7

from domain.errors import InvalidEntity, NotLoaded
from domain.schema.columns import EmbeddingColumn, EnumText
from domain.schema.constraints import NAMING_CONVENTION
from domain.values.numbers import INT32_MAX, INT64_MAX, field_constraints
from domain.values.redaction import without_input
from domain.values.text import DEFAULT_TENANT, Tenant
from domain.values.timestamps import Timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


EntityT = TypeVar("EntityT", bound="Entity")

metadata = MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of the library's entities."""

application_metadata = MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of an application's own entities."""

mappers = registry(metadata=metadata)
"""The mappers of the library's entities."""

application_mappers = registry(metadata=application_metadata)
"""The mappers of an application's own entities. A class that fails to be mapped stays in it."""

_TYPE_LIMITS = {-(2**31), INT32_MAX, -(2**63), INT64_MAX}


def _bounds(column: Column[Any], field: PydanticFieldInfo) -> Iterator[str]:
    """Yield the SQL conditions that the field's numeric bounds and enumeration stand for."""
    if isinstance(column.type, EnumText):
        yield f"{column.name} IN ({', '.join(repr(member.value) for member in column.type.enum)})"
    for rule in field_constraints(field):
        match rule:
            case Ge(ge=limit) if limit not in _TYPE_LIMITS:
                yield f"{column.name} >= {limit}"
            case Gt(gt=limit):
                yield f"{column.name} > {limit}"
            case Le(le=limit) if limit not in _TYPE_LIMITS:
                yield f"{column.name} <= {limit}"


def _default_clause(field: PydanticFieldInfo) -> DefaultClause | None:
    """Return the field's plain default as the server's, for rows that are written without this library."""
    default = field.default
    if isinstance(default, bool):
        return DefaultClause(text(str(default).lower()))
    if isinstance(default, int | Decimal):
        return DefaultClause(text(str(default)))
    return DefaultClause(text(f"'{default}'")) if isinstance(default, str) else None


def _adapt(column: Column[Any], field: PydanticFieldInfo) -> None:
    """Give the column PostgreSQL's natural type: text, not varchar; double precision.

    Bigint where the bounds ask for it.
    """
    if isinstance(column.type, AutoString):
        column.type = SqlText()
    elif isinstance(column.type, Float):
        column.type = Double()
    elif enum := getattr(column.type, "enum_class", None):
        column.type = EnumText(enum)
    elif any(isinstance(rule, Le) and rule.le == INT64_MAX for rule in field_constraints(field)):
        column.type = BigInteger()


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, FieldInfo))
class EntityMeta(SQLModelMetaclass):
    """Completes the columns of a table entity before it is mapped.

    A field's bounds and enumeration become a CHECK named after the column, its description the
    column's comment, the first line of the class docstring the table's.

    Raises:
        InvalidEntity: the class derives from an entity with a table, has no tenant, or names a
            table that exists.
    """

    def __new__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> Any:
        for base in bases:
            if isinstance(base, EntityMeta) and "__table__" in vars(base):
                raise InvalidEntity(
                    f"{name} derives from {base.__name__}, whose rows are loaded as"
                    f" {base.__name__}: derive from ApplicationEntity to store more fields, or"
                    f" write a function that takes a {base.__name__}"
                )
        return super().__new__(cls, name, bases, namespace, **kwargs)

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> None:
        if cls.model_config.get("table"):
            cls._require_place(name, str(namespace.get("__tablename__", name.lower())))
            checks = list(cls._complete_columns())
            arguments = list(namespace.get("__table_args__", ()))
            options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
            comment = (cls.__doc__ or "").partition("\n")[0].strip()
            cls.__table_args__ = (*arguments, *checks, {"comment": comment, **options})
        super().__init__(name, bases, namespace, **kwargs)
        for attribute in cls.embedding_fields():
            setattr(cls, attribute, _OnlyWhenLoaded(getattr(cls, attribute)))

    def embedding_fields(cls) -> list[str]:
        """Return the names of the fields that are fetched only when asked for."""
        table = cls.__dict__.get("__table__")
        return (
            []
            if table is None
            else [
                column.key for column in table.columns if isinstance(column.type, EmbeddingColumn)
            ]
        )

    def _require_place(cls, name: str, table: str) -> None:
        if cls.metadata is metadata:
            if not cls.__module__.startswith("domain.entities."):
                raise InvalidEntity(f"{name} has no tenant: derive it from ApplicationEntity")
        elif table in metadata.tables or table in cls.metadata.tables:
            raise InvalidEntity(
                f"the table {table} of {name} exists already: give {name} another"
                f" `__tablename__`, such as {table!r} with a prefix of your application"
            )

    def _complete_columns(cls) -> Iterator[CheckConstraint]:
        for attribute, field in cls.model_fields.items():
            column = cls.__dict__[attribute]
            column.name = column.name or attribute
            _adapt(column, field)
            column.comment = field.description
            column.server_default = column.server_default or _default_clause(field)
            if conditions := list(_bounds(column, field)):
                yield CheckConstraint(" AND ".join(conditions), name=column.name)


class _OnlyWhenLoaded:
    # An embedding that was not read must neither look like one that is missing nor be loaded
    # implicitly.

    def __init__(self, attribute: InstrumentedAttribute[Any]) -> None:
        self._attribute = attribute

    def __get__(self, entity: Entity | None, owner: type[Entity]) -> Any:
        if entity is None:
            return self._attribute
        try:
            return vars(entity)[self._attribute.key]
        except KeyError:
            raise NotLoaded(owner.__name__, self._attribute.key) from None

    def __set__(self, entity: Entity, value: Any) -> None:
        set_attribute(entity, self._attribute.key, value)


class Entity(SQLModel, registry=mappers, metaclass=EntityMeta):
    """A row of one table, validated when it is made and when a field is assigned.

    Unknown fields, wrong types, values out of range, naive datetimes and text that PostgreSQL
    cannot store raise `pydantic.ValidationError`, which names the field. Rows that come from the
    database are trusted and not validated again.
    """

    model_config = {
        "extra": "forbid",
        "validate_assignment": True,
        "hide_input_in_errors": True,
        "arbitrary_types_allowed": True,
        "defer_build": True,
    }

    __table__: ClassVar[Table]
    __mapper__: ClassVar[Mapper[Any]]
    if TYPE_CHECKING:
        # SQLModel declares a declared_attr here, which no string is.
        __tablename__: ClassVar[Any]

    def __init__(self, /, **data: Any) -> None:
        # SQLModel leaves table models unvalidated; its other models are validated like this.
        self._fill(self.__pydantic_validator__.validate_python, data)

    def _fill(self, validate: Callable[..., Any], data: Any, **options: Any) -> None:
        state = instance_state(self)
        without_input(type(self).__name__, lambda: validate(data, self_instance=self, **options))
        # Pydantic replaces the dictionary in which SQLAlchemy's state of the entity is.
        self.__mapper__.class_manager.setup_instance(self, state)

    @classmethod
    def model_validate(
        cls,
        obj: Any,
        *,
        update: dict[str, Any] | None = None,
        strict: bool | None = None,
        context: Any = None,
        **_: Any,
    ) -> Self:
        """Return an entity made of a mapping, validated as the constructor does."""
        entity: Self = cls.__mapper__.class_manager.new_instance()
        values = {**obj, **(update or {})}
        entity._fill(
            cls.__pydantic_validator__.validate_python, values, strict=strict, context=context
        )
        return entity

    @classmethod
    def model_validate_json(
        cls,
        json_data: str | bytes | bytearray,
        *,
        strict: bool | None = None,
        context: Any = None,
        **_: Any,
    ) -> Self:
        """Return an entity made of a JSON object, validated as the constructor does."""
        entity: Self = cls.__mapper__.class_manager.new_instance()
        entity._fill(
            cls.__pydantic_validator__.validate_json, json_data, strict=strict, context=context
        )
        return entity

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Return an entity of values that are known to be valid, such as a row's.

        Nothing is checked or filled in.
        """
        entity = cls.from_row(values)
        if _fields_set is not None:
            entity.model_fields_set.clear()
            entity.model_fields_set.update(_fields_set)
        return entity

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Return an entity of a row's values by field, as `model_construct` does.

        The dictionary belongs to the entity from then on.
        """
        # Without `__init__`, which takes longer than reading the row.
        entity: Self = cls.__new__(cls)
        entity.model_fields_set.update(row)
        object.__setattr__(entity, "__dict__", row)
        cls.__mapper__.class_manager.setup_instance(entity)
        return entity

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a new entity with the same values that no session knows.

        `update` is not validated.
        """
        values = {key: value for key, value in vars(self).items() if key in type(self).model_fields}
        return self.model_construct(
            set(self.model_fields_set),
            **{**(deepcopy(values) if deep else values), **(update or {})},
        )

    def __copy__(self) -> Self:
        return self.model_copy()

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return self.model_copy(deep=True)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).__pydantic_fields__:
            super().__setattr__(name, value)
            return
        before = self.__dict__
        try:
            without_input(
                type(self).__name__,
                lambda: self.__pydantic_validator__.validate_assignment(self, name, value),
            )
            after = self.__dict__
        finally:
            object.__setattr__(self, "__dict__", before)
        # A validator may derive one field from another, so everything that changed is told to
        # SQLAlchemy.
        for key, new in after.items():
            if key not in before or before[key] is not new:
                set_attribute(self, key, new)

    def __repr__(self) -> str:
        """Name the row, never its contents: reprs end up in logs and tracebacks."""
        keys = (column.key for column in self.__table__.primary_key)
        return f"{type(self).__name__}({', '.join(f'{key}={self.__dict__.get(key)!s}' for key in keys)})"

    __str__ = __repr__


class Identified(SQLModel):
    """A row with an id made by the client, so that it is known before anything is written."""

    id: UUID = Field(
        default_factory=uuid7,
        primary_key=True,
        schema_extra={"frozen": True},
        # Tells which of many inserted rows came back, so that one statement inserts them all.
        sa_column_kwargs={"insert_sentinel": True},
        description="UUID version 7, made by the client.",
    )


class Owned(SQLModel):
    """A row that belongs to one tenant. The unit of work stamps it; it is never changed."""

    tenant: Tenant = Field(
        default=DEFAULT_TENANT,
        primary_key=True,
        schema_extra={"frozen": True},
        description="Whose row this is; never updated.",
    )


class Timestamped(SQLModel):
    """A row that remembers when it was written."""

    created_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="When the row was written.",
    )


class Record(Timestamped, Identified, Owned, Entity):
    """What nearly every entity is: one tenant's row, with an id and the time it was written."""


class ApplicationEntity(Record, registry=application_mappers):
    """The base class of an application's own entities.

    It provides `tenant`, `id` and `created_at`, the primary key `(tenant, id)`, validation on
    construction and on assignment, names for constraints, and comments from descriptions. Derive a
    class with `table=True` from it, and register that class with `repositories.register`::

        class ReviewLabel(ApplicationEntity, table=True):
            __tablename__ = "review_labels"
            __table_args__ = (unique("repo", "label"), references(Review, "review_id"))

            repo: Name
            label: Name
            review_id: UUID
    """
