"""Hostile queries, the same in every run."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from domain import Filter, where
from domain.values.filters import AllOf, AnyOf, Scalar

WORDS: Final = (
    "'; DROP TABLE knowledge; --",
    "' OR '1'='1",
    "1) UNION SELECT tenant, id FROM knowledge --",
    "retry' & 'deadline",
    "$1 $2 $$quoted$$",
    "%s %(query)s {query} :query :tenant",
    "E'\\047' \\' \\\\ \\x27",
    "a & b | ! c <-> d <2147483647> e",
    "((((((((((",
    "))))",
    ":*ABCD retry:*A",
    '"unfinished phrase',
    '"" " " "-" -"retry" --retry -',
    "-retry -deadline",
    "OR OR or AND not",
    "\0retry\0deadline",
    "\ud800 half \udfff",
    "\u202eyrter\u202c \u200b\u200d\ufeff",
    "e\u0301 \U0001f469\u200d\U0001f4bb ﷽ 未处理的异常 Утечка",
    "getUserName.getUserName.getUserName/../../etc/passwd",
    "A" * 3_000,
    "aB" * 20_000,
    "a." * 30_000,
    "retry " * 20_000,
    " ".join(f"word{number}" for number in range(3_000)),
    "(" * 5_000 + "retry" + ")" * 5_000,
    "'" * 2_001,
    "\\" * 2_001,
    "\n\t\r\v\f",
    "",
)
"""SQL, tsquery and web-search syntax, placeholders, lengths, and text PostgreSQL cannot store."""

_VALUES: Final[tuple[Scalar, ...]] = (
    *WORDS[:20],
    True,
    0,
    -1,
    2**31,
    2**63,
    10**400,
    0.0,
    1e308,
    float("nan"),
    float("inf"),
    Decimal("NaN"),
    Decimal("1e5000"),
    Decimal("0.1"),
    datetime(1, 1, 1),  # noqa: DTZ001 -- without a zone on purpose
    datetime(9999, 12, 31, tzinfo=UTC),
    UUID(int=0),
)
_COLUMNS: Final = (
    *(
        "id",
        "tenant",
        "chunk_id",
        "repo",
        "source",
        "source_type",
        "language",
        "title",
        "content",
        "stale",
        "token_count",
    ),
    *(
        "created_at",
        "metadata",
        "embedding",
        "search_vector",
        "content_hash",
        "ctid",
        "",
        "1 = 1 --",
        'id"; DELETE',
        "\0",
        "\ud800",
    ),
)
_KEYS: Final = ("n", "0", "", "a.b", "'", '"', "$.n", "{n}", "\0", "\udfff", "k" * 5_000)


def words(chance: random.Random) -> str:
    """Return one of the texts, some of them together, or characters of all kinds."""
    match chance.randrange(3):
        case 0:
            return chance.choice(WORDS)
        case 1:
            return chance.choice(("", " ", "\0", "'", "|")).join(chance.choices(WORDS[:20], k=3))
        case _:
            return "".join(
                chr(chance.choice((chance.randrange(128), chance.randrange(0x110000))))
                for _ in range(40)
            )


def filters(chance: random.Random, depth: int = 4) -> Filter:
    """Return a filter; most of them make no sense, and some do."""
    match chance.randrange(8) if depth else 7:
        case 0:
            return filters(chance, depth - 1) & filters(chance, depth - 1)
        case 1:
            return filters(chance, depth - 1) | ~filters(chance, depth - 1)
        case 2:
            return chance.choice(
                (
                    AllOf(),
                    AnyOf(),
                    deep(chance.choice((40, 60, 2_000))),
                    _wide(chance.choice((90, 300))),
                )
            )
        case _:
            return _condition(chance)


def deep(levels: int) -> Filter:
    """Return a filter that is nested so deep."""
    nested = where("stale").equals(value=False)
    for _ in range(levels):
        nested = ~nested
    return nested


def _wide(conditions: int) -> Filter:
    return AnyOf(tuple(where("token_count").equals(number) for number in range(conditions)))


def _condition(chance: random.Random) -> Filter:
    name = chance.choice(_COLUMNS)
    keys = (
        chance.choices(_KEYS, k=chance.choice((1, 2, 30)))
        if chance.random() < (0.9 if name == "metadata" else 0.1)
        else ()
    )
    value, path = chance.choice(_VALUES), where(name, *keys)
    match chance.randrange(6):
        case 0:
            return path.less_than(value)
        case 1:
            return path.at_least(value)
        case 2:
            return path.one_of(chance.choices(_VALUES, k=chance.choice((0, 3, 20))))
        case 3:
            return path.exists()
        case _:
            return path.equals(value)
