"""Vectors over the wire as pgvector's binary format.

Float32 in, `pgvector.Vector` out, no text in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
from pgvector import Bit, HalfVector, Vector

if TYPE_CHECKING:
    from collections.abc import Callable

    Kind = type[Vector | HalfVector]

_KINDS: Final[dict[str, Kind]] = {"vector": Vector, "halfvec": HalfVector}

# The extension may be installed in any schema.
_SCHEMA_OF_THE_EXTENSION: Final = """
SELECT n.nspname FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'vector'
"""


async def register_codecs(connection: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Register the binary codecs for `bit`, `vector` and `halfvec`.

    Return whether the database has the extension. Migrations create it through a connection that
    has the codec for `bit` alone.
    """
    await connection.set_type_codec(
        "bit", schema="pg_catalog", encoder=_bits, decoder=Bit.from_binary, format="binary"
    )
    schema: str | None = await connection.fetchval(_SCHEMA_OF_THE_EXTENSION)
    if schema is None:
        return False
    for name, kind in _KINDS.items():
        await connection.set_type_codec(
            name, schema=schema, encoder=_encoder(kind), decoder=kind.from_binary, format="binary"
        )
    return True


def _encoder(kind: Kind) -> Callable[[Any], bytes]:
    def encode(value: Any) -> bytes:
        vector = value if isinstance(value, kind) else kind(_numbers(value))
        return vector.to_binary()

    return encode


def _numbers(value: Any) -> Any:
    if isinstance(value, (Vector, HalfVector)):
        return value.to_list()
    return list(value) if isinstance(value, tuple) else value


def _bits(value: Any) -> bytes:
    if isinstance(value, asyncpg.BitString):
        value = value.as_string().replace(" ", "")
    return (value if isinstance(value, Bit) else Bit(value)).to_binary()
