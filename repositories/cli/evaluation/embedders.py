"""The embedder of an evaluation: the one of the demo, or one that a user names."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain import Embedder

SETTING: Final = "embedder"
_ATTRIBUTES: Final = ("provider", "model", "dimensions", "embed")


def load_embedder(name: str | None) -> Embedder:
    """Return the embedder that `package.module:factory` creates; without a name, the demo's.

    Modules of the current folder can be named, as with `python -m`.

    Raises:
        ConfigurationError: The name has another form, cannot be imported, or its factory returns
            something else than an embedder.
    """
    if name is None:
        from repositories.cli.demo.embedder import WordLlamaEmbedder

        return WordLlamaEmbedder.load()
    module, separator, attribute = name.partition(":")
    if not (module and separator and attribute):
        raise ConfigurationError(
            f"{name} is not the name of an embedder; write package.module:factory", setting=SETTING
        )
    factory = _imported(module, attribute)
    if not callable(factory):
        raise ConfigurationError(f"{name} cannot be called", setting=SETTING)
    embedder = factory()
    missing = [attribute for attribute in _ATTRIBUTES if not hasattr(embedder, attribute)]
    if missing:
        raise ConfigurationError(
            f"{name} returns no embedder: {', '.join(missing)} missing", setting=SETTING
        )
    return cast("Embedder", embedder)


def settings_of(embedder: Embedder) -> Mapping[str, Any]:
    """Return the settings of a database with the embeddings of this embedder."""
    return {
        "embedding_provider": embedder.provider,
        "embedding_model": embedder.model,
        "embedding_dimensions": embedder.dimensions,
    }


def _imported(module: str, attribute: str) -> Any:
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return getattr(import_module(module), attribute)
    except ImportError as error:
        raise ConfigurationError(
            f"the module {module} cannot be imported: {error}", setting=SETTING
        ) from None
    except AttributeError:
        raise ConfigurationError(f"{module} has no {attribute}", setting=SETTING) from None
