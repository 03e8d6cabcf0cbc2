"""How texts become lexemes: one table for the column `search_vector` and for the fake."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import text

from domain.values.text_analysis import indexed_text
from repositories.fakes.lexemes import lexemes
from tests.contract.suites.samples import chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repositories import Database

TABLE: Final = (
    # Prose: stop words keep their positions, as in plain PostgreSQL.
    ("The quick foxes jumped over a lazy dog.", "quick:2 fox:3 jump:4 lazi:7 dog:8"),
    ("don't O'Brien's", "o:3 brien:4"),
    ("e.g. the U.S.A., i.e. not p.x", "eg:1 usa:3 ie:4 p:6 x:7"),
    # Identifiers: parts in consecutive positions, the identifier as one word after all of them.
    ("getUserName()", "get:1 user:2 name:3 getusernam:4"),
    (
        "get_user_name and get-user-name",
        "get:1 user:2 name:3 get:5 user:6 name:7 getusernam:8 getusernam:9",
    ),
    (
        "HTTPServer URLs UTF8String",
        "http:1 server:2 url:3 utf8:4 string:5 httpserver:6 utf8string:7",
    ),
    ("__init__ MAX_SIZE x2Y log4j", "init:1 max:2 size:3 x2y:4 log4j:5 maxsiz:6"),
    ("self.user_name.lower()", "self:1 user:2 name:3 lower:4 usernam:5"),
    ("großeÄnderung ИмяФайла", "große:1 änderung:2 имя:3 файла:4 großeänderung:5 имяфайла:6"),
    # Paths, addresses and mail.
    ("src/db/client.ts", "src:1 db:2 client:3 ts:4"),
    (r"C:\Users\node_modules", "c:1 user:2 node:3 modul:4 nodemodul:5"),
    ("https://example.com/a-b/c?id=7#top", "https:1 exampl:2 com:3 b:5 c:6 id:7 7:8 top:9 ab:10"),
    ("mail user@example.com now", "mail:1 user:2 exampl:3 com:4"),
    # Words in angle brackets, attributes, entities.
    ("#include <iostream>", "includ:1 iostream:2"),
    ("let v: Vec<String> = vec![];", "let:1 v:2 vec:3 string:4 vec:5"),
    ("static_cast<uint32_t>(n)", "static:1 cast:2 uint32:3 n:5 staticcast:6 uint32t:7"),
    ('<a href="/home">&nbsp;&value;</a>', "href:2 home:3 nbsp:4 valu:5"),
    ("a &amp; b &#39; <!-- hidden -->", "amp:2 b:3 39:4 hidden:5"),
    # Numbers: a hyphen does not negate; versions are one word besides their parts.
    ("see CVE-2026-2332", "see:1 cve:2 2026:3 2332:4 cve20262332:5"),
    ("ORA-00942 JIRA-4711", "ora:1 00942:2 jira:3 4711:4 ora00942:5 jira4711:6"),
    ("on 2026-11-29 at -5 or +7", "2026:2 11:3 29:4 5:6 7:8"),
    ("at 2026-11-30T12:00:00Z", "2026:2 11:3 30:4 12:5 00:6 00z:7"),
    ("x-2026-11-30T12-00-00.log", "x:1 2026:2 11:3 30:4 12:5 00:6 00:7 log:8 x20261130t120000:9"),
    ("1_000_000 of 10MB, not AT12:", "1:1 000:2 000:3 10mb:5 at12:7 1000000:8"),
    ("q=John%20Smith&t=12%3A30&x=%data%", "q:1 john:2 smith:3 12:5 30:6 x:7 data:8"),
    ("v2.32.3 is 2.32.3", "2:1 32:2 3:3 2:5 32:6 3:7 2.32.3:8 2.32.3:9"),
    ("v2 of requests-2.32.3.tar.gz", "v2:1 request:3 2:4 32:5 3:6 tar:7 gz:8 2.32.3:9"),
    ("pi is 3.14, 1.5e-10 or 1e5", "pi:1 3:3 14:4 1:5 5e:6 10:7 1e5:9 3.14:10 1.5:11 e10:12"),
    # Hashes: the first seven digits, whether seven or forty stand there.
    ("in 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "2fd4e1c:2"),
    ("in 2fd4e1c", "2fd4e1c:2"),
    ("not 20261129, defaced or deadbeef", "20261129:2 defac:3 deadbeef:5"),
    # Texts without spaces.
    ("未处理的异常 foo", "未:1 处:2 理:3 的:4 异:5 常:6 foo:7"),
    ("サーバー 서버는", "サ:1 ー:2 バ:3 ー:4 서:5 버:6 는:7"),
    # Punctuation beyond ASCII, letters with marks, capitals.
    ("“quoted”—dash…end", "quot:1 dash:2 end:3"),
    ("e\u0301tat ΘΕΣ İstanbul x² ½", "e\u0301tat:1 θεσ:2 istanbul:3 x:4"),
    ("  \t\n", ""),
)
FRAGMENTS: Final = (
    *"aabcdefsvxABSsUV0123459-_./\\@<>&;:#+~'\"(){}[]=,*$!?|^` \n\t",
    *("http://", "www.", "e1", "E5", "1.5", "v1.2", "<a>", "<!--", "-->", "&amp;", "..", ". "),
    *("É", "é", "ж", "Ж", "未", "ー", "한", "–", "…", "\u0301", "\xa0", "İ", "Σ", "\u200b", "²"),
    *("2026-11-30T12:00", "9T12", "T12-", "_T", "%20", "%3", "%2F", "%da"),
    *("getName", "HTTP", "URLs", "2fd4e1c67a2d", "deadbeef12", "1234567", "e.g.", "a.b.", "x_y"),
)


def by_fake(*texts: str) -> list[set[tuple[str, int]]]:
    return [
        {(lexeme.stem, lexeme.position) for lexeme in lexemes(indexed_text(one))} for one in texts
    ]


async def by_server(database: Database, *texts: str) -> list[set[tuple[str, int]]]:
    chunks = [chunk(f"{number:06}", one) for number, one in enumerate(texts)]
    async with database.unit_of_work() as uow:
        await uow.knowledge.add_many(chunks)
        await uow.commit()
    statement = text("SELECT chunk_id, lexeme, positions FROM knowledge, unnest(search_vector)")
    lexemes_by_text: list[set[tuple[str, int]]] = [set() for _ in texts]
    async with database.engine.connect() as connection:
        for name, lexeme, positions in await connection.execute(statement):
            lexemes_by_text[int(name)].update((lexeme, position) for position in positions)
    return lexemes_by_text


def expected(words: str) -> set[tuple[str, int]]:
    pairs = (word.rsplit(":", 1) for word in words.split())
    return {(stem, int(position)) for stem, position in pairs}


def differences(
    texts: Sequence[str], ours: Sequence[Any], theirs: Sequence[Any]
) -> dict[str, tuple[Any, Any]]:
    return {
        one: (mine - other, other - mine)
        for one, mine, other in zip(texts, ours, theirs, strict=True)
        if mine != other
    }


@pytest.mark.parametrize("store", ["fake", "postgresql"])
async def test_a_text_has_these_lexemes_in_these_positions(database: Database, store: str) -> None:
    texts = [one for one, _ in TABLE]
    lexemes_by_text = by_fake(*texts) if store == "fake" else await by_server(database, *texts)
    assert differences(texts, lexemes_by_text, [expected(words) for _, words in TABLE]) == {}


async def test_fake_and_server_agree_on_texts_that_nobody_writes(database: Database) -> None:
    drawn = random.Random(9)
    texts = [
        "".join(drawn.choices(FRAGMENTS, k=drawn.randint(1, 16))).replace("\0", "")
        for _ in range(4_000)
    ]
    assert differences(texts, by_fake(*texts), await by_server(database, *texts)) == {}


@pytest.mark.parametrize(
    "unit",
    [
        "_a",
        "aB",
        "1.",
        "v1.1 ",
        "deadbeef1 ",
        "a.",
        "未",
        "x",
        "-.",
        "é-",
        "1-",
        "\U00010400-\U00010401 ",
    ],
)
async def test_the_longest_text_is_stored_whatever_it_repeats(
    database: Database, unit: str
) -> None:
    longest = (unit * 100_000)[:100_000]
    [server] = await by_server(database, longest)
    [fake] = by_fake(longest[:90_000])
    assert {stem for stem, _ in server} == {stem for stem, _ in fake}
