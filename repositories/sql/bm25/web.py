"""Web-search syntax for words that are indexed in parts."""

from __future__ import annotations

import re

_INNER_BOUNDARY = re.compile(
    r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])"
    r"|(?<=[^\W_]{2})[_/.\\](?=[^\W\d_])|[_/.\\](?=[^\W\d_]{2})|[/\\](?=\d)"
)
_WORD = re.compile(r"(-?)(\S+)")


def web_syntax(query: str) -> str:
    """Return the query with every compound word as a quoted phrase of its parts, as they are
    indexed.

    `getUserName -client.ts` becomes `"get User Name" -"client ts"`; what is quoted already stays
    one phrase.
    """
    pieces = query.split('"')
    return '"'.join(
        _split(piece) if inside % 2 else _WORD.sub(_quoted, piece)
        for inside, piece in enumerate(pieces)
    )


def _split(text: str) -> str:
    return _INNER_BOUNDARY.sub(" ", text)


def _quoted(word: re.Match[str]) -> str:
    parts = _split(word[2])
    return f'{word[1]}"{parts}"' if " " in parts else word[0]
