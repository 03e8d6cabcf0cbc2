"""Analysis of text into words: the rules that the index, the queries and the fakes share.

PostgreSQL's parser treats paths, addresses, signed numbers and markup in its own way: it drops
`<iostream>`, reads `-2332` in `CVE-2026-2332`, and gives `db/client.ts` one word. These rules
rewrite a text so that the parser sees plain words only:

- `split_words` separates the parts of compounds: `getUserName`, `get_user_name` and "get user name"
  become the same three words, in consecutive positions, so that phrases are found.
- `compounds` lists what a part alone cannot tell: identifiers as one word (`getusername`) and
  version numbers (`2.32.3`). They follow the words, so they never stand inside a phrase.

The patterns mean the same to Python's `re` and to PostgreSQL: they name code points instead of
classes, which depend on the locale, and alternatives exclude each other, because Python takes the
first one that matches and PostgreSQL the longest. `domain.schema.text_analysis` builds the SQL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A tsvector holds 1 MB. A character takes at most 8 bytes of it, in a word and in a compound.
INDEXED_CHARACTERS: Final[Mapping[str, int]] = {"A": 1_000, "B": 9_000, "C": 90_000}
"""How many characters of a column are searched, by the weight of the column."""

UPPER: Final = r"A-Z\u00c0-\u00d6\u00d8-\u00de\u0391-\u03a9\u0400-\u042f"
_LOWER_BUT_S: Final = r"a-rt-z\u00df-\u00f6\u00f8-\u00ff\u03b1-\u03c9\u0430-\u045f"
LOWER: Final = "s" + _LOWER_BUT_S
"""Letters with case: Latin, Greek and Cyrillic. In other scripts case separates nothing."""

UNSPACED: Final = (
    r"\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7af\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
)
"""Chinese, Japanese and Korean characters. Texts do not separate words, so each is one."""

# Of ASCII, all but letters, digits, hyphen, underscore and dot; of the rest, common punctuation.
DELIMITERS: Final = (
    r"\u0001-\u002c\u002f\u003a-\u0040\u005b-\u005e\u0060\u007b-\u007f"
    r"\u0080-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf\u00d7\u00f7\u2000-\u206f\u3000-\u3004"
    r"\u3008-\u3020" + UNSPACED
)

# `getUserName`, `HTTPServer`, `UTF8String`; `URLs` stays one word.
CASE_BOUNDARY: Final = (
    f"(?<=[{LOWER}])(?=[{UPPER}])|(?<=[{UPPER}0-9])(?=[{UPPER}](?:[{_LOWER_BUT_S}]|s[{LOWER}]))"
)
UNSPACED_BOUNDARY: Final = f"(?=[{UNSPACED}])|(?<=[{UNSPACED}])"
# PostgreSQL's parser reads them as parts of a tag, entity, sign, number, path or address.
SEPARATORS: Final = "-<&+./_~@"
# `v2.32.3` is `2.32.3`; `v2` is a name.
VERSION_PREFIX: Final = r"(?<![A-Za-z0-9])[vV](?=[0-9]+\.[0-9])"
# `2026-11-30T12:00:00Z` has the date `2026-11-30`.
TIME_MARK: Final = r"(?<=[0-9])T(?=[0-9][0-9][-:_])"
# ASCII punctuation and letters in a URL, in upper case: `%da` in a pattern such as `%data%` is not.
URL_ESCAPE: Final = "%[2-7][0-9A-F]"
INNER_BOUNDARY: Final = "|".join(
    (URL_ESCAPE, TIME_MARK, VERSION_PREFIX, CASE_BOUNDARY, UNSPACED_BOUNDARY)
)

# Letters before the dots inside "e.g." and "U.S.", which a code such as `p.x` does not end with.
# A lookbehind of two characters would take PostgreSQL six times as long.
ABBREVIATED_LETTER: Final = r"(?<![A-Za-z0-9_])([A-Za-z])\.(?=(?:[A-Za-z]\.){1,3}(?![A-Za-z0-9_]))"
# A hash of 8 or more digits, with a letter and a numeral, is its first 7: as Git shortens commits.
# An upper bound would take PostgreSQL three times as long.
LONG_HASH: Final = (
    r"(?<![0-9A-Za-z])((?:[0-9](?=[0-9]*[a-f])|[a-f](?=[a-f]*[0-9]))[0-9a-f]{6})[0-9a-f]+"
    r"(?![0-9A-Za-z])"
)

NUMBERS: Final = "[0-9]+(?:[-T]+[0-9]+)*"
# A version number, or what separates components: a dot outside of one, or an escape.
VERSION_OR_DOT: Final = rf"(?:(?<![A-Za-z0-9])[vV])?([0-9]+(?:\.[0-9]+)+)|\.|{URL_ESCAPE}"

_CASE_BOUNDARY: Final = re.compile(CASE_BOUNDARY)
_WORD_BOUNDARY: Final = re.compile(f"[{SEPARATORS}]+|{INNER_BOUNDARY}")
_ABBREVIATED_LETTER: Final = re.compile(ABBREVIATED_LETTER)
_LONG_HASH: Final = re.compile(LONG_HASH)
_TOKEN: Final = re.compile(f"[^{DELIMITERS}]+")
_NUMBERS: Final = re.compile(NUMBERS)
_VERSION_OR_DOT: Final = re.compile(VERSION_OR_DOT)
_JOINT: Final = re.compile(r"[-_]")


def split_words(text: str) -> str:
    """Return the text with a space at every boundary between words.

    `see getUserName in src/db/client.ts` becomes `see get User Name in src db client ts`.
    """
    shortened = _LONG_HASH.sub(r"\1", _ABBREVIATED_LETTER.sub(r"\1", text))
    return _WORD_BOUNDARY.sub(" ", shortened)


def compounds(text: str) -> str:
    """Return the compounds of the text, separated by spaces.

    Compounds are identifiers without their separators, and version numbers.

    `requests-2.32.3: self.get_user, useState` becomes `2.32.3 getuser useState`. Numbers with
    hyphens, such as dates, are none, and `1_000_000` is `1000000`; a compound of several components
    has one for each.
    """
    return _compounds(_tokens(text))


def compound(text: str) -> str:
    """Return the text as one word if it is one compound, such as `getUserName`, or else nothing."""
    tokens = _tokens(text)
    return _compounds(tokens) if len(tokens) == 1 else ""


def indexed_text(text: str) -> str:
    """Return the text as the index reads it: its words, then its compounds.

    `to_tsvector` of the result has the positions and lexemes of the column `search_vector`.
    """
    return f"{split_words(text)} {compounds(text)}"


def _tokens(text: str) -> list[str]:
    return _TOKEN.findall(_VERSION_OR_DOT.sub(r" \1 ", _ABBREVIATED_LETTER.sub(r"\1", text)))


def _compounds(tokens: Sequence[str]) -> str:
    return " ".join(_JOINT.sub("", part) for part in tokens if _has_parts(part.strip("-_")))


def _has_parts(token: str) -> bool:
    joined = "-" in token or "_" in token or "." in token
    if joined:
        return _NUMBERS.fullmatch(token) is None
    return _CASE_BOUNDARY.search(token) is not None
