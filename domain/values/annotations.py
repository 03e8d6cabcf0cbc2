"""The types that the annotation of a field allows."""

from __future__ import annotations

from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Iterator


def options(annotation: Any) -> Iterator[Any]:
    """Yield the types that an annotation allows, beside None."""
    if get_origin(annotation) is Annotated:
        yield from options(get_args(annotation)[0])
    elif get_origin(annotation) in {Union, UnionType}:
        for option in get_args(annotation):
            yield from options(option)
    elif annotation is not NoneType:
        yield annotation
