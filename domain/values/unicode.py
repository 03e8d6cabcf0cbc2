"""Forms of Unicode text, in bounded time."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

# Normalization sorts combining marks that follow one another, in time that grows with the square of
# their number: 40,000 of them take two seconds in Python, and ten in PostgreSQL.
_PART: Final = re.compile(r"\S{1,250}")

# The soft hyphen, and spaces and joiners without width.
_INVISIBLE: Final = dict.fromkeys(map(ord, "\u00ad\u200b\u200c\u200d\u2060\ufeff"))


def normalized(form: Literal["NFC", "NFD", "NFKC"], text: str) -> str:
    """Return a text in a form of Unicode, each word of up to 250 characters as a whole.

    White space stays as it is, and longer words are normalized in parts.
    """
    if text.isascii():
        return text
    return _PART.sub(lambda part: unicodedata.normalize(form, part[0]), text)


def other_forms(text: str) -> Sequence[str]:
    """Return how else Unicode writes a text, beginning with the text as it looks.

    `é` is one code point in most texts, and two in some, such as names of files. `ﬁ` and full-width
    letters are mostly written as usual ones.
    """
    visible = text.translate(_INVISIBLE)
    forms = (visible, *(normalized(form, visible) for form in ("NFC", "NFD", "NFKC")))
    return [form for form in dict.fromkeys(forms) if form != text]
