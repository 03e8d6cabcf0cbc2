"""Embeddings without a network: static word vectors that come with their package."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from domain.errors import ConfigurationError
from domain.values.embedding import VectorLike

PROVIDER: Final = "wordllama"
MODEL: Final = "l2_supercat_256"
DIMENSIONS: Final = 256
SETTINGS: Final[Mapping[str, Any]] = {
    "embedding_provider": PROVIDER,
    "embedding_model": MODEL,
    "embedding_dimensions": DIMENSIONS,
}
"""The settings of a database with these embeddings."""


def is_installed() -> bool:
    """Return whether the package is installed; nothing is loaded."""
    return find_spec(PROVIDER) is not None


class WordLlamaEmbedder:
    """An embedder that returns means of static word vectors with 256 components.

    No model runs, and the same text always has the same vector. `load` creates one, in a second or
    two. A text without a known word has a vector of zeros, which databases refuse.
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
            ConfigurationError: The package is not installed, or lacks the vectors.
        """
        if not is_installed():
            raise ConfigurationError(
                "embeddings need the extra demo: pip install 'recollect[demo]'"
            )
        package = _import_without_its_logging()
        try:
            inference = package.WordLlama.load(
                dim=DIMENSIONS, cache_dir=Path(package.__file__).parent, disable_download=True
            )
        except FileNotFoundError:
            raise ConfigurationError(
                "wordllama lacks its vectors: pip install --force-reinstall wordllama"
            ) from None
        return cls(inference)

    async def embed(self, texts: Sequence[str]) -> Sequence[VectorLike]:
        """Return one embedding for each text, in order; a thread computes them."""
        return list(await asyncio.to_thread(self._inference.embed, list(texts)))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text for this model."""
        return (
            [sum(encoding.attention_mask) for encoding in self._inference.tokenize(list(texts))]
            if texts
            else []
        )


def _import_without_its_logging() -> Any:
    # The package configures the root logger when it is imported, unless the logger has a handler.
    root, placeholder = logging.getLogger(), logging.NullHandler()
    root.addHandler(placeholder)
    try:
        return import_module(PROVIDER)
    finally:
        root.removeHandler(placeholder)
