"""Embeddings: validated vectors of float32, and the port of the provider that computes them."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol, TypeAlias, cast, overload

from pgvector import Vector
from pydantic import PlainSerializer, PlainValidator

from domain.errors import InvalidEmbedding

if TYPE_CHECKING:
    from typing import Self

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

DEFAULT_DIMENSIONS = 1024
MAX_DIMENSIONS = 16_000
"""The most dimensions that a column of pgvector's type `vector` can have."""

UNSPECIFIED = "unspecified"
"""The provider and the model of a database for which none was recorded."""

# Beyond these norms, cosine distance overflows or underflows float32 and becomes NaN, which passes
# every threshold.
MIN_NORM, MAX_NORM = 1e-6, 1e6


class ZeroEmbedding(ValueError):
    """All components of an embedding are zero, so it has no direction."""


class Array(Protocol):
    """The part of a numpy array that this module uses; nothing imports numpy."""

    @property
    def ndim(self) -> int: ...

    def tolist(self) -> Any:
        """Return the components as a list."""
        ...


VectorLike: TypeAlias = Vector | Sequence[float] | Array
"""A `Vector`, a list or tuple of numbers, or a one-dimensional numpy array."""

_known_dimensions: Counter[int] = Counter()  # ordered by the time of the latest registration


@contextmanager
def known_dimensions(dimensions: int) -> Iterator[None]:
    """Let entities accept embeddings of `dimensions` inside the block.

    Every open database does this for its own dimensions. If no database is open and no block is
    active, entities accept embeddings of any size up to `MAX_DIMENSIONS`.
    """
    learn_dimensions(dimensions)
    try:
        yield
    finally:
        forget_dimensions(dimensions)


def learn_dimensions(dimensions: int) -> None:
    """Register one more user of `dimensions` in this process."""
    _known_dimensions[dimensions] = _known_dimensions.pop(dimensions, 0) + 1


def forget_dimensions(dimensions: int) -> None:
    """Remove one user of `dimensions`; after the last one, entities refuse these dimensions."""
    _known_dimensions[dimensions] -= 1
    if _known_dimensions[dimensions] <= 0:
        del _known_dimensions[dimensions]


def newest_dimensions() -> int:
    """Return the latest dimensions in use, or `DEFAULT_DIMENSIONS` if none are."""
    return next(reversed(_known_dimensions), DEFAULT_DIMENSIONS)


def accepted_dimensions() -> list[int]:
    """Return the dimensions of embeddings that entities accept now, in ascending order.

    It is empty if no database is open: entities then accept any dimensions.
    """
    return sorted(_known_dimensions)


def to_vector(value: VectorLike) -> Vector:
    """Return `value` as a vector of float32.

    Raises:
        ValueError: `value` is not a one-dimensional sequence of numbers, a component is not finite,
            or the norm is outside 1e-6 to 1e6 (which includes all zeros).
    """
    vector = value if isinstance(value, Vector) else _convert(value)
    norm = _norm(vector)
    if not math.isfinite(norm):
        raise ValueError("a component of the embedding is NaN, infinite or beyond float32")
    if not vector.dimensions():
        raise ValueError("the embedding has no components")
    if norm == 0:
        raise ZeroEmbedding("the embedding is all zeros")
    if not MIN_NORM <= norm <= MAX_NORM:
        raise ValueError("the embedding's norm is not between 1e-6 and 1e6")
    return vector


def _norm(vector: Vector) -> float:
    # Every written row is validated. If the program has loaded numpy, this is forty times as fast.
    if "numpy" in sys.modules:
        numbers = vector.to_numpy().astype(float)
        return math.sqrt(numbers.dot(numbers))
    return math.hypot(*vector.to_list())


def _convert(value: VectorLike) -> Vector:
    if isinstance(value, str | bytes | bytearray):
        raise ValueError("an embedding is a sequence of numbers, not text")
    if isinstance(value, Sequence):
        # Converting a million numbers would hold the event loop.
        _require_storable(len(value))
    try:
        # numpy would drop the imaginary part of a complex number, and convert booleans and dates.
        if getattr(getattr(value, "dtype", None), "kind", "f") not in "fiu":
            raise TypeError
        if isinstance(value, Sequence):
            if bool in set(map(type, value)):
                raise TypeError
            return Vector(list(value))
        return Vector(cast("list[float]", value))  # a numpy array, which pgvector recognises
    except (
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,  # a masked array has no buffer
    ):
        raise ValueError(
            "an embedding is a one-dimensional sequence of numbers or a numpy array"
        ) from None


def require_dimensions(vector: Vector, dimensions: int) -> None:
    """Raise ValueError unless `vector` has exactly `dimensions` components."""
    if vector.dimensions() != dimensions:
        raise ValueError(f"the embedding has {vector.dimensions()} dimensions, not {dimensions}")


def query_vector(embedding: VectorLike, dimensions: int) -> Vector:
    """Return the vector of a search in a database whose embeddings have `dimensions`.

    Raises:
        InvalidEmbedding: `embedding` is not a finite vector of these dimensions, or is all zeros.
    """
    try:
        vector = to_vector(embedding)
        require_dimensions(vector, dimensions)
    except ValueError as error:
        raise InvalidEmbedding(str(error), field="embedding") from None
    return vector


def _validate(value: VectorLike) -> Vector:
    vector = to_vector(value)
    dimensions = vector.dimensions()
    _require_storable(dimensions)
    if _known_dimensions and dimensions not in _known_dimensions:
        raise ValueError(_dimensions_advice(dimensions))
    return vector


def _require_storable(dimensions: int) -> None:
    if dimensions > MAX_DIMENSIONS:
        raise ValueError(
            f"the embedding has {dimensions:,} dimensions, and at most {MAX_DIMENSIONS:,} can be"
            " stored: use a model with fewer"
        )


def _dimensions_advice(dimensions: int) -> str:
    expected = " or ".join(map(str, accepted_dimensions()))
    return (
        f"the embedding has {dimensions} dimensions, not {expected}, which the open databases"
        " have: use a model with as many dimensions"
    )


class _EmbeddingSchema:
    """Describes an embedding in JSON: an array of as many numbers as entities accept now."""

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        arrays: list[JsonSchemaValue] = [
            {"type": "array", "items": {"type": "number"}, "minItems": size, "maxItems": size}
            for size in accepted_dimensions()
        ]
        if not arrays:
            return {
                "type": "array",
                "items": {"type": "number"},
                "minItems": 1,
                "maxItems": MAX_DIMENSIONS,
            }
        return arrays[0] if len(arrays) == 1 else {"anyOf": arrays}


Embedding = Annotated[
    Vector,
    PlainValidator(_validate),
    PlainSerializer(Vector.to_list, return_type=list[float], when_used="json"),
    _EmbeddingSchema(),
]
"""A finite, non-zero vector of float32 with the dimensions of an open database.

JSON has it as an array of numbers.
"""

if TYPE_CHECKING:

    class OptionalEmbedding:
        """A field that accepts any `VectorLike` and reads as a `Vector`, or None."""

        @overload
        def __get__(self, entity: None, owner: type[object], /) -> Self: ...
        @overload
        def __get__(self, entity: object, owner: type[object], /) -> Vector | None: ...
        def __get__(self, entity: object, owner: type[object], /) -> Self | Vector | None: ...
        def __set__(self, entity: object, value: VectorLike | None, /) -> None: ...

else:
    OptionalEmbedding = Embedding | None


class Embedder(Protocol):
    """Computes embeddings of texts.

    The caller owns it: no unit of work awaits it.
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
