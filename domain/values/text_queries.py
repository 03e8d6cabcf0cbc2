"""Keyword queries, as a user types them: their words, within bounds.

Both stores read a query here, so they agree on what it means. Reading takes time in proportion to
the query's length, and less than 50 ms for any query.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING, Final

from domain.values.text_analysis import compound, compounds, split_words
from domain.values.unicode import other_forms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_READ_CHARACTERS: Final = 200_000
"""The first and the last half of so many characters are read of a longer query."""

MAX_QUESTION_CHARACTERS: Final = 1_000
"""A longer query is pasted text rather than a question: each of its words counts once, because it
repeats what matters least, such as the frames of a traceback."""

MAX_QUERY_CHARACTERS: Final = 8_000
"""So many characters of the different words of a long query are analyzed."""

MAX_QUERY_TERMS: Final = 256
"""So many lexemes of a query are looked up to find the rarest.

Of more, those that the query repeats least; of these, words before numbers and long ones first.
"""

MAX_RANKED_TERMS: Final = 32
"""A search ranks by so many lexemes of the query: those that the fewest rows have."""

MAX_WEB_CHARACTERS: Final = 4_000
"""How many characters of a query in web-search syntax are read.

Every word of it is required, so the rest could only exclude more rows.
"""

_WEB_TERM: Final = re.compile(r'(-*)(?:"([^"]*)"?|([^\s"]+))')


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """A word or phrase of a query; `excluded`, if a minus stands before it.

    A row has its words or one of its other `spellings`: a compound, such as `getUserName`, as one
    word, and a text beyond ASCII in other forms of Unicode.
    """

    words: str
    spellings: tuple[str, ...] = ()
    excluded: bool = False


@dataclass(frozen=True, slots=True)
class QueryText:
    """What is analyzed of a query: its words, separated as in the index, and its compounds."""

    words: str
    compounds: str
    terms: Sequence[QueryTerm]

    @property
    def all(self) -> str:
        """Words and compounds, as the index has them."""
        return f"{self.words} {self.compounds}"


def read_query(query: str) -> QueryText:
    """Return the words and compounds of a query.

    Each compound and each word with other spellings is a term, and all other words are one.
    """
    text = _reduced(_readable(query))
    respelled = _respelled(text.split())
    terms, others = [], []
    for word in text.split():
        if spellings := _spellings(word, respelled):
            terms.append(QueryTerm(split_words(word), spellings))
        else:
            others.append(word)
    words, whole = split_words(text), compounds(text)
    written = {*words.split(), *whole.split()}
    forms = " ".join(
        word
        for spelling in chain.from_iterable(respelled.values())
        for word in spelling.split()
        if word not in written
    )
    return QueryText(
        f"{words} {forms}".rstrip(), whole, [QueryTerm(split_words(" ".join(others))), *terms]
    )


def read_web_query(query: str) -> Sequence[Sequence[QueryTerm]]:
    """Return the alternatives of a query in web-search syntax, each with the terms it requires.

    Quotes make a phrase, `OR` separates alternatives, one minus excludes a term. A compound is the
    phrase of its parts: `getUserName -client.ts` has the terms "get User Name" and, excluded,
    "client ts". Two hyphens, as in `--verbose`, exclude nothing. An alternative that only excludes
    is none, because no index finds the rows without a word.
    """
    alternatives: list[list[QueryTerm]] = [[]]
    matches = [
        match.groups(default="")
        for match in _WEB_TERM.finditer(_readable(query[:MAX_WEB_CHARACTERS]))
    ]
    respelled = _respelled(phrase or word for _, phrase, word in matches)
    for hyphens, phrase, word in matches:
        text = phrase or word
        if not hyphens and word.lower() == "or":
            alternatives.append([])
        elif words := " ".join(split_words(text).split()):
            term = QueryTerm(words, _spellings(text, respelled), excluded=hyphens == "-")
            alternatives[-1].append(term)
    return [terms for terms in alternatives if not all(term.excluded for term in terms)]


def _spellings(text: str, respelled: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    whole = compound(text)
    return (*([whole] if whole else []), *respelled.get(text, ()))


def _respelled(texts: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Return the words and the compound of other forms of a text, for texts that have some.

    So many different texts are respelled as lexemes are looked up.
    """
    different = dict.fromkeys(text for text in texts if not text.isascii())
    return {
        text: [
            spelling
            for form in forms
            for spelling in (compound(form), " ".join(split_words(form).split()))
            if spelling
        ]
        for text in islice(different, MAX_QUERY_TERMS)
        if (forms := other_forms(text))
    }


def _readable(query: str) -> str:
    """Return what is read of a query, without characters that PostgreSQL cannot store."""
    half = MAX_READ_CHARACTERS // 2
    read = query if len(query) <= 2 * half else f"{query[:half]} {query[-half:]}"
    return read.replace("\0", " ").encode(errors="replace").decode()


def _reduced(query: str) -> str:
    """Return the query, or of a long one each different word once: the rules apply to each alone.

    Within the bound, words from both ends take turns. The first lines of a pasted traceback say
    where it came from, and the last one what happened.
    """
    if len(query) <= MAX_QUESTION_CHARACTERS:
        return query
    chosen, room = [], MAX_QUERY_CHARACTERS
    for word in _from_both_ends(list(dict.fromkeys(query.split()))):
        if len(word) < room:
            chosen.append(word)
            room -= len(word) + 1
    return " ".join(chosen) or query[:MAX_QUERY_CHARACTERS]


def _from_both_ends(words: Sequence[str]) -> Iterator[str]:
    half = (len(words) + 1) // 2
    pairs = chain.from_iterable(zip_longest(words[:half], words[: half - 1 : -1]))
    return (word for word in pairs if word is not None)
