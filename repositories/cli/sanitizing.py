"""Text from files, for storage and for a terminal."""

from __future__ import annotations

from textwrap import shorten


def storable(text: str) -> str:
    """Return the text with NUL and lone surrogates replaced, which PostgreSQL cannot store."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def printable(text: str) -> str:
    """Return the text with a space for each control character except line breaks.

    Names can come from the backup of another database, and a terminal executes control characters.
    """
    return "".join(one if one.isprintable() or one == "\n" else " " for one in text)


def shown(text: str, width: int) -> str:
    """Return the start of the text in one line, without control characters.

    Args:
        text: any text.
        width: the most characters to return.
    """
    return shorten(printable(text), width, placeholder=" …")
