"""Digests: bytes in the database, hexadecimal text in JSON."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

SHA256_BYTES: Final = 32
"""Bytes of a SHA-256 digest."""


def _from_hex(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise ValueError("a digest as text consists of hexadecimal digits") from None


DerivedSha256 = Annotated[
    bytes,
    BeforeValidator(_from_hex),
    PlainSerializer(bytes.hex, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "pattern": f"^[0-9a-f]{{{2 * SHA256_BYTES}}}$", "readOnly": True}
    ),
]
"""A SHA-256 digest that an entity computes from another field; a value from outside is ignored."""
