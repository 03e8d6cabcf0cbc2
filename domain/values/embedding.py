"""Embeddings: vectors of float32 that are worth storing, and the port of whoever makes them."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias, cast

from pgvector import Vector
from pydantic import PlainSerializer, PlainValidator

if TYPE_CHECKING:
    pass

DEFAULT_DIMENSIONS = 1024
MAX_DIMENSIONS = 16_000
"""What pgvector's `vector` can hold."""

# Beyond these norms cosine distance overflows or underflows float32 and becomes NaN, which passes
# every threshold.
MIN_NORM, MAX_NORM = 1e-6, 1e6


class Array(Protocol):
    """As much of a numpy array as is asked for here; nothing imports numpy."""

    @property
    def ndim(self) -> int: ...

    def tolist(self) -> Any: ...


VectorLike: TypeAlias = Vector | Sequence[float] | Array
"""A `Vector`, a list or tuple of numbers, or a one-dimensional numpy array."""

_known_dimensions: Counter[int] = Counter()  # in the order in which they were learned last


@contextmanager
def known_dimensions(dimensions: int) -> Iterator[None]:
    """Let entities of this process take embeddings of `dimensions`, as every open database does for
    its own.

    With no database open and nothing declared, entities take `DEFAULT_DIMENSIONS`.
    """
    learn_dimensions(dimensions)
    try:
        yield
    finally:
        forget_dimensions(dimensions)


def learn_dimensions(dimensions: int) -> None:
    """Count one more user of `dimensions` in this process."""
    _known_dimensions[dimensions] = _known_dimensions.pop(dimensions, 0) + 1


def newest_dimensions() -> int:
    """Return the dimension of the database that was opened last and still is, or `DEFAULT_DIMENSIONS` with none open."""
    return next(reversed(_known_dimensions), DEFAULT_DIMENSIONS)


def forget_dimensions(dimensions: int) -> None:
    """Count one user of `dimensions` less; with none left, entities refuse it again."""
    _known_dimensions[dimensions] -= 1
    if _known_dimensions[dimensions] <= 0:
        del _known_dimensions[dimensions]


def to_vector(value: VectorLike) -> Vector:
    """Return `value` as a vector of float32.

    Raises:
        ValueError: not one-dimensional numbers, a component that is not finite, or a norm outside
            1e-6 to 1e6 (all zeros included).
    """
    vector = value if isinstance(value, Vector) else _convert(value)
    norm = _norm(vector)
    if not math.isfinite(norm):
        raise ValueError("a component of the embedding is NaN, infinite or beyond float32")
    if not MIN_NORM <= norm <= MAX_NORM:
        raise ValueError(
            "the embedding is all zeros"
            if norm == 0
            else "the embedding's norm is not between 1e-6 and 1e6"
        )
    return vector


def _norm(vector: Vector) -> float:
    # Forty times as fast, where the program has numpy anyway: an entity is made for each row that
    # is written.
    if "numpy" in sys.modules:
        numbers = vector.to_numpy().astype(float)
        return math.sqrt(numbers.dot(numbers))
    return math.hypot(*vector.to_list())


def _convert(value: VectorLike) -> Vector:
    if isinstance(value, str | bytes | bytearray):
        raise ValueError("an embedding is a sequence of numbers, not text")
    try:
        # Of a complex number numpy would keep one part; a flag and a moment it would take for a
        # number.
        if getattr(getattr(value, "dtype", None), "kind", "f") not in "fiu":
            raise TypeError
        if isinstance(value, Sequence):
            if bool in set(map(type, value)):
                raise TypeError
            return Vector(list(value))
        return Vector(cast("list[float]", value))  # or a numpy array, which pgvector tells apart
    except (
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
    ):  # the last of masked arrays, whose data is no buffer
        raise ValueError(
            "an embedding is a one-dimensional sequence of numbers or a numpy array"
        ) from None


def require_dimensions(vector: Vector, dimensions: int) -> None:
    """Raise ValueError unless `vector` has exactly `dimensions` components."""
    if vector.dimensions() != dimensions:
        raise ValueError(f"the embedding has {vector.dimensions()} dimensions, not {dimensions}")


def _validate(value: VectorLike) -> Vector:
    vector = to_vector(value)
    allowed = set(_known_dimensions) or {DEFAULT_DIMENSIONS}
    if vector.dimensions() not in allowed:
        expected = " or ".join(str(dimensions) for dimensions in sorted(allowed))
        raise ValueError(f"the embedding has {vector.dimensions()} dimensions, not {expected}")
    return vector


Embedding = Annotated[
    Vector,
    PlainValidator(_validate),
    PlainSerializer(lambda vector: vector.to_list(), when_used="json"),
]
"""A vector of float32 with the dimension of a database that this process has open.

Finite, not zero.
"""


class Embedder(Protocol):
    """What turns texts into embeddings.

    The caller owns it: nothing awaits it inside a unit of work.
    """

    @property
    def provider(self) -> str: ...

    @property
    def model(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    async def embed(self, texts: Sequence[str]) -> Sequence[VectorLike]:
        """Return one embedding for each text, in order."""
        ...
