"""Vectors over the wire as pgvector's binary format.

Float32 in, `pgvector.Vector` out, no text in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
from pgvector import Bit, HalfVector, Vector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Kind = type[Vector | HalfVector]

_KINDS: Final[dict[str, Kind]] = {"vector": Vector, "halfvec": HalfVector}

# The extension may live in any schema; its types are where it is. No array among the parameters:
# the driver would have to look its type up first, which costs more than all the rest. Kind and
# element are what the driver asks before it takes a codec.
_TYPES_OF_THE_EXTENSION: Final = """
SELECT t.oid, t.typname AS name, n.nspname AS schema, t.typtype AS kind, NULL::oid AS elemtype
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
JOIN pg_catalog.pg_type t ON t.typnamespace = n.oid AND t.typname IN ($1, $2)
WHERE e.extname = 'vector'
"""


async def vector_types(connection: asyncpg.Connection[asyncpg.Record]) -> Sequence[asyncpg.Record]:
    """Return what this database has of `vector` and `halfvec`: nothing before the extension is
    created.

    That is no failure: migrations create it through such a connection.
    """
    return await connection.fetch(_TYPES_OF_THE_EXTENSION, *_KINDS)


async def register_codecs(
    connection: asyncpg.Connection[asyncpg.Record], types: Iterable[asyncpg.Record]
) -> None:
    """Teach a connection `bit` and these types."""
    await connection.set_type_codec(
        "bit", schema="pg_catalog", encoder=_bits, decoder=Bit.from_binary, format="binary"
    )
    for known in types:
        kind = _KINDS[known["name"]]
        await connection.set_type_codec(
            known["name"],
            schema=known["schema"],
            encoder=_encoder(kind),
            decoder=kind.from_binary,
            format="binary",
        )


def is_vector_type(name: str) -> bool:
    """Whether a type of this name is one of those that are taught."""
    return name in _KINDS


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
