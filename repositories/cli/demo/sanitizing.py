"""Somebody else's text, made fit to be stored and to be shown."""

from __future__ import annotations

from textwrap import shorten


def storable(text: str) -> str:
    """Return the text without what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "�").encode("utf-8", "replace").decode()


def shown(text: str, width: int) -> str:
    """Return the beginning of the text in one line, at most `width` characters, without anything that a terminal would obey."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return shorten(printable, width, placeholder=" …")
