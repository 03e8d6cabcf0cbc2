"""Hashes that are equal for texts that distinct searches treat as the same."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

WHITE_SPACE: Final = " \t\n\r\v\f"
"""The characters that do not tell two texts apart."""


def text_hash(text: str) -> bytes:
    """Return the SHA-256 hash of a text without ASCII white space and in ASCII lower case.

    Two texts with the same hash are the same text but for case and spacing. The generated column
    `text_hash` has the same value, whichever program writes the row.
    """
    return sha256(text.encode().translate(None, WHITE_SPACE.encode()).lower()).digest()
