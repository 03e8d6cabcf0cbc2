"""Codecs that exchange pgvector's vectors in binary instead of as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pgvector import HalfVector, Vector

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg

    VectorType = type[Vector | HalfVector]

_TYPES: Final[dict[str, VectorType]] = {"vector": Vector, "halfvec": HalfVector}

# The extension can be installed in any schema.
_EXTENSION_SCHEMA: Final = """
SELECT n.nspname FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
"""


async def register_codecs(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Register the binary codecs of `vector` and `halfvec`.

    The connection keeps the driver's own exchange of every other type. pgvector's types for
    SQLAlchemy work on such a connection: they bind text, which the encoders accept, and read
    `Vector` and `HalfVector`.

    Returns:
        Whether the database has the extension. Before the migration that creates it, it has not.
    """
    schema: str | None = await connection.fetchval(_EXTENSION_SCHEMA)
    if schema is None:
        return False
    for name, vector_type in _TYPES.items():
        await connection.set_type_codec(
            name,
            schema=schema,
            encoder=_encoder(vector_type),
            decoder=vector_type.from_binary,
            format="binary",
        )
    return True


def _encoder(vector_type: VectorType) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        if isinstance(value, vector_type):
            return value.to_binary()
        if isinstance(value, str):
            return vector_type.from_text(_bracketed(value)).to_binary()
        return vector_type(_numbers(value)).to_binary()

    return encode


def _bracketed(text: str) -> str:
    # `from_text` does not look at the first and the last character.
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError("a vector as text is a list of numbers in square brackets")
    return text


def _numbers(value: Any) -> Any:
    if isinstance(value, Vector | HalfVector):
        return value.to_list()
    return list(value) if isinstance(value, tuple) else value
