"""The base classes of entities: rows that are validated when they are created and assigned."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar
from uuid import UUID

from sqlalchemy import Table, func
from sqlalchemy.orm import Mapper
from sqlalchemy.orm.attributes import instance_state, set_attribute
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from domain.schema.metaclass import EntityMeta
from domain.schema.registries import application_mappers, mappers
from domain.values.redaction import without_input
from domain.values.text import DEFAULT_TENANT, Tenant
from domain.values.timestamps import Timestamp

if TYPE_CHECKING:
    from collections.abc import Callable


EntityT = TypeVar("EntityT", bound="Entity")


class Entity(SQLModel, registry=mappers, metaclass=EntityMeta):
    """A row of one table, validated when you create it and when you assign a field.

    Unknown fields, wrong types, values out of range, naive datetimes and text that PostgreSQL
    cannot store raise `pydantic.ValidationError`, which names the field. Rows from the database are
    trusted and not validated again.

    An entity equals itself after `model_dump_json` and `model_validate_json`. JSON has digests as
    hexadecimal text and embeddings as arrays of numbers. JSON of a row that was read without its
    embedding lacks that field alone, and the entity made of it raises `NotLoaded` as the row does;
    in JSON of an entity that has none, the embedding is null.
    """

    model_config = {
        "extra": "forbid",
        "validate_assignment": True,
        "hide_input_in_errors": True,
        "arbitrary_types_allowed": True,
        "defer_build": True,
    }

    managed_fields: ClassVar[frozenset[str]] = frozenset()
    """Fields that only operations of the repository change."""

    __table__: ClassVar[Table]
    __mapper__: ClassVar[Mapper[Any]]
    if TYPE_CHECKING:
        # SQLModel declares a declared_attr, and entities assign a string.
        __tablename__: ClassVar[Any]

    def __init__(self, /, **data: Any) -> None:
        # SQLModel does not validate table models; this is how it validates its other models.
        self._fill(self.__pydantic_validator__.validate_python, data)

    def _fill(self, validate: Callable[..., Any], data: Any, **options: Any) -> None:
        state = instance_state(self)
        without_input(
            type(self).__name__,
            lambda: validate(data, self_instance=self, **options),
            fields=type(self).model_fields,
        )
        # Pydantic replaced the dictionary that contained SQLAlchemy's state of the entity.
        self.__mapper__.class_manager.setup_instance(self, state)
        self._leave_unread()

    def _leave_unread(self) -> None:
        unread, fields = type(self).embedding_fields(), self.model_fields_set
        if (
            unread
            and len(fields) + len(unread) == len(type(self).model_fields)
            and fields.isdisjoint(unread)
        ):
            for name in unread:
                del vars(self)[name]

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
        """Return an entity with a mapping's values, validated as by the constructor."""
        entity: Self = cls.__mapper__.class_manager.new_instance()
        # pydantic refuses everything but mappings.
        values = {**obj, **(update or {})} if isinstance(obj, Mapping) else obj
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
        """Return an entity with a JSON object's values, validated as by the constructor."""
        entity: Self = cls.__mapper__.class_manager.new_instance()
        entity._fill(
            cls.__pydantic_validator__.validate_json, json_data, strict=strict, context=context
        )
        return entity

    @classmethod
    def model_construct(cls, _fields_set: set[str] | None = None, **values: Any) -> Self:
        """Return an entity with values that are valid already, such as those of a row.

        It validates nothing and sets no defaults.
        """
        entity = cls.from_row(values)
        if _fields_set is not None:
            entity.model_fields_set.clear()
            entity.model_fields_set.update(_fields_set)
        return entity

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """Return an entity with a row's values by field, as `model_construct` does.

        The entity keeps the dictionary: do not use it afterwards.
        """
        # Calling `__init__` would take longer than reading the row.
        entity: Self = cls.__new__(cls)
        entity.model_fields_set.update(row)
        object.__setattr__(entity, "__dict__", row)
        cls.__mapper__.class_manager.setup_instance(entity)
        return entity

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a new entity with the same values, which belongs to no session.

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
        fields = type(self).__pydantic_fields__
        if name not in fields:
            if (field := f"{name}_") in fields:
                raise AttributeError(
                    f"{type(self).__name__} has no field {name}: assign to {field}"
                )
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
        # A validator may derive one field from another, so SQLAlchemy gets every change.
        for key, new in after.items():
            if key not in before or before[key] is not new:
                set_attribute(self, key, new)

    def __repr__(self) -> str:
        """Return the class and the primary key; other values do not belong in logs."""
        key = ", ".join(
            f"{column.key}={vars(self).get(column.key)!s}" for column in self.__table__.primary_key
        )
        return f"{type(self).__name__}({key})"

    __str__ = __repr__


class Identified(SQLModel):
    """A row with an id that the client generates, so that it is known before the row is written."""

    id: UUID = Field(
        default_factory=uuid7,
        primary_key=True,
        schema_extra={"frozen": True},
        # Identifies each row that a multi-row INSERT returns.
        sa_column_kwargs={"insert_sentinel": True},
        description="UUID version 7, generated by the client.",
    )


class Owned(SQLModel):
    """A row that belongs to one tenant.

    The unit of work assigns the tenant when the entity is added; it never changes.
    """

    tenant: Tenant = Field(
        default=DEFAULT_TENANT,
        primary_key=True,
        schema_extra={"frozen": True},
        description="Tenant that owns the row; never updated.",
    )


class Timestamped(SQLModel):
    """A row with the time at which it was written."""

    created_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="Time at which the row was written.",
    )


class Record(Timestamped, Identified, Owned, Entity):
    """A row of one tenant with an id and the time at which it was written."""


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
