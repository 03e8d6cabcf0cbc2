"""Rows in layers.

The lowest layer has the committed rows, the next one the changes of a unit of work, and each
further one the changes since a savepoint.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeAlias

from domain.values.turns import VALUES_PER_TURN, slices

Key: TypeAlias = tuple[Any, ...]
Layer: TypeAlias = defaultdict[str, dict[Key, Any]]
"""By table, rows by primary key; by unique rule, primary keys by value.

None stands for a removed row or value.
"""


def new_layer() -> Layer:
    """Return a layer that changes nothing."""
    return defaultdict(dict)


class Layers:
    """The rows that one unit of work sees: the committed layer, and its own changes over it."""

    def __init__(self, committed: Layer) -> None:
        self._committed = committed
        self._layers = [committed, new_layer()]

    def freeze(self) -> None:
        """Use a snapshot of the committed layer from now on."""
        self._layers[0] = new_layer()
        self._layers[0].update({name: dict(values) for name, values in self._committed.items()})

    @property
    def changes_anything(self) -> bool:
        """Whether a layer above the committed one has changes."""
        return any(any(layer.values()) for layer in self._layers[1:])

    def find(self, name: str, key: Key) -> Any | None:
        """Return the value of `key`, or None."""
        for layer in reversed(self._layers):
            if key in layer[name]:
                return layer[name][key]
        return None

    def values(self, name: str) -> list[Any]:
        """Return all current values of `name`."""
        # Copying a whole dictionary does not compute the hashes of its keys again.
        merged: dict[Key, Any] = {}
        for layer in self._layers:
            merged.update(layer[name])
        return [value for value in merged.values() if value is not None]

    def put(self, name: str, key: Key, value: Any | None) -> None:
        """Set the value of `key`; None removes it."""
        self._layers[-1][name][key] = value

    def push(self) -> None:
        """Begin a savepoint."""
        self._layers.append(new_layer())

    def discard(self) -> None:
        """Discard the changes since the last savepoint, or since the beginning."""
        self._layers.pop()

    def merge(self) -> Layer:
        """Merge the changes since the last savepoint into the layer below, and return them.

        Without a savepoint, that is the committed layer.
        """
        changed = self._layers.pop()
        below = self._committed if len(self._layers) == 1 else self._layers[-1]
        for name, values in changed.items():
            below[name].update(values)
        return changed

    async def forget_removed(self, changed: Layer) -> None:
        """Drop what a merged layer removed from the committed layer, where it is None now."""
        for name, values in changed.items():
            committed = self._committed[name]
            async for some in slices(list(values.items()), VALUES_PER_TURN):
                for key, value in some:
                    # Another unit of work can have written it again.
                    if value is None and key in committed and committed[key] is None:
                        del committed[key]
