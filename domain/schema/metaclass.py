"""The metaclass of entities: fields become columns, CHECK constraints and comments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, CheckConstraint
from sqlalchemy.exc import ConstraintColumnNotFoundError
from sqlalchemy.orm.attributes import InstrumentedAttribute, set_attribute
from sqlmodel import Field, SQLModel
from sqlmodel.main import FieldInfo, SQLModelMetaclass, get_sqlalchemy_type
from typing_extensions import dataclass_transform

from domain.errors import InvalidEntity, NotLoaded
from domain.schema.columns import EmbeddingColumn
from domain.schema.derived_columns import complete_columns
from domain.schema.registries import application_mappers, metadata
from domain.values.numbers import INT32_MAX, INT64_MAX

if TYPE_CHECKING:
    from domain.schema.base import Entity


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, FieldInfo))
class EntityMeta(SQLModelMetaclass):
    """Completes the columns of a table entity before it is mapped.

    The bounds and the enumeration of a field become a CHECK constraint named after the column. Its
    description becomes the column's comment. The first line of the class docstring becomes the
    table's comment.

    Raises:
        InvalidEntity: the class derives from an entity with a table, has no tenant, names a table
            that exists, has a field without a column type, has a CHECK without a name, or
            has a rule over a column that does not exist.
    """

    _embedding_fields: tuple[str, ...]

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
        copied = {key: value for key, value in namespace.items() if key != "__classcell__"}
        try:
            return super().__new__(cls, name, bases, namespace, **kwargs)
        except (ValueError, TypeError):
            if not kwargs.pop("table", False):
                raise
            model = super().__new__(cls, name, bases, copied, **kwargs)
            if (field := _field_without_column(model)) is None:
                raise
        raise InvalidEntity(
            f"SQLModel knows no column type for {name}.{field}: write one in its Field(…), such as"
            " sa_type=JSONB or sa_type=ARRAY(Text)"
        )

    def __init__(
        cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> None:
        if cls.model_config.get("table"):
            cls._require_place(name, str(namespace.get("__tablename__", name.lower())))
            checks = complete_columns(vars(cls), cls.model_fields)
            arguments = list(namespace.get("__table_args__", ()))
            options = arguments.pop() if arguments and isinstance(arguments[-1], dict) else {}
            if any(isinstance(rule, CheckConstraint) and rule.name is None for rule in arguments):
                raise InvalidEntity(
                    f"a CHECK in `__table_args__` of {name} has no name: write"
                    ' CheckConstraint("…", name="…")'
                )
            comment = (cls.__doc__ or "").partition("\n")[0].strip()
            cls.__table_args__ = (*arguments, *checks, {"comment": comment, **options})
        try:
            super().__init__(name, bases, namespace, **kwargs)
        except ConstraintColumnNotFoundError as error:
            raise InvalidEntity(
                f"a rule in `__table_args__` of {name} names a column that is not a field: {error}"
            ) from None
        table = cls.__dict__.get("__table__")
        columns = () if table is None else table.columns
        cls._embedding_fields = tuple(
            column.key for column in columns if isinstance(column.type, EmbeddingColumn)
        )
        for attribute in cls._embedding_fields:
            setattr(cls, attribute, _DeferredField(getattr(cls, attribute)))
        if table is not None:
            # The validator of the class is built at its first use. A `TypeAdapter` of the class is
            # built at once, as FastAPI expects when it filters warnings around that.
            cls.model_config["defer_build"] = False

    def embedding_fields(cls) -> tuple[str, ...]:
        """Return the names of the fields that a read leaves out by default."""
        return cls._embedding_fields

    def largest_integer(cls, column: str) -> int:
        """Return the largest number that a column of whole numbers, or of arrays, can store."""
        kind = vars(cls)["__table__"].columns[column].type
        is_big = isinstance(getattr(kind, "item_type", kind), BigInteger)
        return INT64_MAX if is_big else INT32_MAX

    def is_array(cls, column: str) -> bool:
        """Whether a column stores arrays."""
        return hasattr(vars(cls)["__table__"].columns[column].type, "item_type")

    def _require_place(cls, name: str, table: str) -> None:
        if cls.metadata is metadata:
            if not cls.__module__.startswith("domain.entities."):
                raise InvalidEntity(f"{name} has no tenant: derive it from ApplicationEntity")
        elif table in metadata.tables:
            raise InvalidEntity(
                f"the table {table} of {name} exists already, in the library: give {name} another"
                f" `__tablename__`, such as {table!r} with a prefix of your application"
            )
        elif table in cls.metadata.tables:
            for other in (mapper.class_ for mapper in application_mappers.mappers):
                if (other.__name__, other.__tablename__) == (name, table):
                    raise InvalidEntity(_second_import(name, cls.__module__, other.__module__))
            raise InvalidEntity(
                f"the table {table} of {name} exists already: give {name} another"
                f" `__tablename__`, such as {table!r} with a prefix of your application"
            )


def _second_import(name: str, module: str, earlier: str) -> str:
    if module == earlier:
        return (
            f"{name} of {module} exists already, from an earlier import of this module: if that"
            " import failed, correct its error; otherwise import the module once, and do not"
            " reload it"
        )
    return (
        f"{name} of {module} exists already, in {earlier}: import its module once, under one"
        " name, and do not reload it"
    )


def _field_without_column(model: type[SQLModel]) -> str | None:
    for field, information in model.model_fields.items():
        try:
            get_sqlalchemy_type(information)
        except (ValueError, TypeError):
            return field
    return None


class _DeferredField:
    # Reading an embedding that was not loaded neither returns None nor loads it implicitly.

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
