"""A stand-in for an embedding model.

Give the application your own `domain.Embedder` instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from hashlib import blake2b

from domain import DEFAULT_DIMENSIONS, Vector


class HashedWords:
    """Texts with the same words, or parts of words, have similar vectors.

    Each word and each three letters of one add 1 or -1 to the component that their hash names
    (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009).
    """

    provider = "example"
    model = "hashed-words"

    def __init__(self, dimensions: int = DEFAULT_DIMENSIONS) -> None:
        self.dimensions = dimensions

    async def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        """Return one embedding for each text, in order."""
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> Vector:
        components = [0.0] * self.dimensions
        for feature in _features(text):
            digest = int.from_bytes(blake2b(feature.encode(), digest_size=8).digest())
            components[(digest >> 1) % self.dimensions] += 1.0 if digest & 1 else -1.0
        # Features may cancel each other, and a text may have none. Zero vectors are refused.
        components[0] += 0.0 if any(components) else 1.0
        return Vector(components)


def _features(text: str) -> Iterator[str]:
    for word in re.findall(r"\w+", text.casefold()):
        yield word
        yield from (word[start : start + 3] for start in range(len(word) - 3))
