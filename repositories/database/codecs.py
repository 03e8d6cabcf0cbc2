"""Vectors over the wire as pgvector's binary format: float32 in, `pgvector.Vector` out, no text in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pgvector import HalfVector, Vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from repositories.database.driver import Connection

# The extension may live in any schema; its types are where it is.
_SCHEMA_OF_THE_EXTENSION: Final = """
SELECT n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'vector'
"""


async def register_vector_codecs(connection: Connection) -> bool:
    """Teach a connection `vector` and `halfvec`, in five round trips; say whether the database has the extension.

    Without the extension nothing is registered, and nothing fails: migrations create it through such a connection.
    """
    schema = await connection.fetchval(_SCHEMA_OF_THE_EXTENSION)
    if schema is None:
        return False
    types: tuple[tuple[str, type[Vector | HalfVector]], ...] = (("vector", Vector), ("halfvec", HalfVector))
    for name, kind in types:
        await connection.set_type_codec(name, schema=schema, encoder=_encoder(kind), decoder=kind.from_binary, format="binary")
    return True


def _encoder(kind: type[Vector | HalfVector]) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        vector = value if isinstance(value, kind) else kind(_numbers(value))
        return vector.to_binary()

    return encode


def _numbers(value: Any) -> Any:
    if isinstance(value, (Vector, HalfVector)):
        return value.to_list()
    return list(value) if isinstance(value, tuple) else value
