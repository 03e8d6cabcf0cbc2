"""Embeddings without a network: static word vectors that come with their package."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from domain.errors import ConfigurationError
from domain.values.embedding import VectorLike

PROVIDER: Final = "wordllama"
MODEL: Final = "l2_supercat_256"
DIMENSIONS: Final = 256


def is_installed() -> bool:
    """Say whether the vectors are there; nothing is loaded."""
    return find_spec(PROVIDER) is not None


class WordLlamaEmbedder:
    """Means of static word vectors, 256 components each: no model runs, and the same text always
    gives the same vector.

    Made by `load`, which takes a second or two. A text without any known word has a vector of
    zeros, which no database takes.
    """

    provider = PROVIDER
    model = MODEL
    dimensions = DIMENSIONS

    def __init__(self, inference: Any) -> None:
        self._inference = inference

    @classmethod
    def load(cls) -> WordLlamaEmbedder:
        """Load the vectors from the package's own folder.

        Raises:
            ConfigurationError: the package is not installed, or came without them.
        """
        if not is_installed():
            raise ConfigurationError(
                "embeddings need the extra demo: pip install 'recollect[demo]'"
            )
        package = _import_without_its_logging()
        try:
            loaded = package.WordLlama.load(
                dim=DIMENSIONS, cache_dir=Path(package.__file__).parent, disable_download=True
            )
        except FileNotFoundError:
            raise ConfigurationError(
                "wordllama came without its vectors: pip install --force-reinstall wordllama"
            ) from None
        return cls(loaded)

    async def embed(self, texts: Sequence[str]) -> Sequence[VectorLike]:
        """Return one embedding for each text, in order; computed in a thread."""
        return list(await asyncio.to_thread(self._inference.embed, list(texts)))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has for this model."""
        return (
            [sum(encoding.attention_mask) for encoding in self._inference.tokenize(list(texts))]
            if texts
            else []
        )


def _import_without_its_logging() -> Any:
    # Importing it configures the root logger, unless that has a handler.
    root, placeholder = logging.getLogger(), logging.NullHandler()
    root.addHandler(placeholder)
    try:
        return import_module(PROVIDER)
    finally:
        root.removeHandler(placeholder)
