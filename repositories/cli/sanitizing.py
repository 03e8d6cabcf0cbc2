"""Text from files, for storage and for a terminal."""

from __future__ import annotations

from textwrap import shorten


def storable(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced, which PostgreSQL cannot store."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def shown(text: str, width: int) -> str:
    """Return the start of the text in one line, without control characters.

    Args:
        text: Any text.
        width: The most characters to return.
    """
    printable = "".join(character if character.isprintable() else " " for character in text)
    return shorten(printable, width, placeholder=" …")
