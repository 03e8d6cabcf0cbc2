"""Keyword search of passages.

What is held to are properties of any sane ranking, not one ranking's figures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from domain import Match, where
from tests.contract.suites.kinds import facts, write
from tests.contract.suites.samples import UNICODE, chunk, vectors_of
from tests.contract.suites.search import names

if TYPE_CHECKING:
    from tests.contract.suites.store import Store

TROUBLE: Final = (
    "'",
    '"',
    '"unclosed',
    "\\",
    "a:*b & | ! ( ) <-> :A",
    "a AND NOT (b",
    "-",
    "- - OR OR",
    "%_$1 :name ?",
    "\0",
    "a\0b",
    "\ud800",
    "\x01\x7f\u202e",
    "{}[]<>;--/*",
    "https://example.com/a?b=c#d user@example.com 1.5e-10 -7",
    "é" * 3_000,
    "word " * 50_000,
    " ".join(f"word{number}" for number in range(30_000)),
    "x" * 100_000,
    "<b>bold</b> &amp;",
    UNICODE,
)
"""Texts that a user may type; none raises."""


class KeywordSearchContract:
    """Chunks that have any of the words, best first."""

    async def test_texts_of_other_tenants_change_no_score(self, store: Store) -> None:
        ours = [
            chunk(f"{number}", content)
            for number, content in enumerate(
                ("a deadline bounds every retry", "a lease has a deadline", "an index of tables")
            )
        ]
        theirs = [chunk(f"{number}", "deadline retry lease index " * 9) for number in range(40)]
        query = "deadline of a retry"

        async def scores() -> list[tuple[str, float | None]]:
            async with store.reader(tenant="ours") as view:
                hits = await view.knowledge.keyword_search(query)
                return [(hit.item.chunk_id, hit.keyword_score) for hit in hits]

        async with store.unit_of_work(tenant="ours") as uow:
            await uow.knowledge.add_many(ours)
            await uow.commit()
        alone = await scores()
        async with store.unit_of_work(tenant="theirs") as uow:
            await uow.knowledge.add_many(theirs)
            await uow.commit()
        assert [name for name, _ in alone] == ["0", "1"]
        assert await scores() == alone

    async def test_a_question_in_natural_language_finds_what_has_any_of_its_words(
        self, store: Store
    ) -> None:
        await write(
            store,
            chunk("both", "Retries are bounded by a deadline."),
            chunk("one", "The deadline of a lease."),
            chunk("none", "Tables and their indexes."),
        )
        async with store.reader() as view:
            hits = await view.knowledge.keyword_search("how are retries bounded by the deadline?")
        assert names(hits) == ["both", "one"]
        assert [hit.keyword_rank for hit in hits] == [1, 2]
        assert all(0 <= hit.score <= 1 and hit.score == hit.keyword_score for hit in hits)
        assert hits[0].score > hits[1].score
        assert [(hit.distance, hit.vector_rank, hit.matched_terms) for hit in hits] == [
            (None, None, ())
        ] * 2
        assert hits.exact

    async def test_words_are_found_in_other_forms_and_cases(self, store: Store) -> None:
        await write(
            store,
            chunk("a", "RETRYING connections"),
            chunk("b", "Über die Brücke"),
            chunk("c", "未处理的异常"),
        )
        async with store.reader() as view:
            for query, name in (
                ("retry", "a"),
                ("Connection", "a"),
                ("brücke", "b"),
                ("未处理的异常", "c"),
            ):
                assert names(await view.knowledge.keyword_search(query)) == [name]

    async def test_identifiers_and_paths_are_found_by_their_parts(self, store: Store) -> None:
        await write(
            store,
            chunk("snake", "call parse_config first"),
            chunk("camel", "call getUserName first"),
            chunk("path", "see src/db/client.ts first"),
        )
        async with store.reader() as view:
            for query, name in (
                ("parse config", "snake"),
                ("parse_config", "snake"),
                ("user name", "camel"),
                ("getUserName", "camel"),
                ("client", "path"),
                ("client.ts", "path"),
                ("src/db/client.ts", "path"),
            ):
                assert names(await view.knowledge.keyword_search(query)) == [name], query

    async def test_the_more_often_a_word_stands_in_a_text_of_equal_length_the_better(
        self, store: Store
    ) -> None:
        texts = {
            times: " ".join(["deadline"] * times + ["filler"] * (6 - times)) for times in (1, 3, 2)
        }
        await write(store, *(chunk(f"{times}", text) for times, text in texts.items()))
        async with store.reader() as view:
            assert names(await view.knowledge.keyword_search("deadlines")) == ["3", "2", "1"]

    async def test_a_rare_word_tells_more_than_a_common_one(self, store: Store) -> None:
        common = [chunk(f"common-{n}", "the common word of this text") for n in range(30)]
        await write(store, *common, chunk("rare", "the seldom word of this text"))
        async with store.reader() as view:
            hits = await view.knowledge.keyword_search("seldom common", limit=3)
        assert list(names(hits)) == ["rare", "common-0", "common-1"], "and ties are ordered by id"
        assert hits[0].score > hits[1].score == hits[2].score

    async def test_a_title_weighs_more_than_a_summary_and_that_more_than_the_content(
        self, store: Store
    ) -> None:
        await write(
            store,
            chunk("content", "deadline", title="filler", summary="filler"),
            chunk("summary", "filler", title="filler", summary="deadline"),
            chunk("title", "filler", title="deadline", summary="filler"),
        )
        async with store.reader() as view:
            assert names(await view.knowledge.keyword_search("deadline")) == [
                "title",
                "summary",
                "content",
            ]

    async def test_a_score_does_not_depend_on_how_many_are_asked_for(self, store: Store) -> None:
        await write(store, *(chunk(f"{n}", "deadline " * n + "filler") for n in range(1, 8)))
        async with store.reader() as view:
            every = await view.knowledge.keyword_search("deadline")
            for limit in (1, 3, 7, 10_000):
                some = await view.knowledge.keyword_search("deadline", limit=limit)
                assert [(hit.item.id, hit.score) for hit in some] == [
                    (hit.item.id, hit.score) for hit in every
                ][:limit]

    @pytest.mark.parametrize("match", Match)
    async def test_a_query_without_a_word_finds_nothing(self, store: Store, match: Match) -> None:
        await write(store, chunk("a", "the and of it ? ! - _"), chunk("b", ""))
        async with store.reader() as view:
            for query in ("", " ", "\n\t", "the", "of the and it", "?!", "..."):
                assert names(await view.knowledge.keyword_search(query, match=match)) == []

    async def test_all_words_may_be_demanded(self, store: Store) -> None:
        await write(
            store,
            chunk("both", "retry before the deadline"),
            chunk("one", "deadline"),
            chunk("title", "retries", title="deadlines"),
        )
        async with store.reader() as view:
            assert set(
                names(await view.knowledge.keyword_search("retries deadline", match=Match.ALL))
            ) == {"both", "title"}
            assert (
                names(
                    await view.knowledge.keyword_search("retries deadline nothing", match=Match.ALL)
                )
                == []
            )

    async def test_the_web_syntax_knows_quotes_or_and_minus(self, store: Store) -> None:
        await write(
            store,
            chunk("retry first", "the retry limit and a deadline"),
            chunk("limit first", "a limit for every retry, and a deadline"),
            chunk("lease", "a lease"),
        )
        expected = {
            "retry deadline": {"retry first", "limit first"},
            '"retry limit"': {"retry first"},
            'deadline -"retry limit"': {"limit first"},
            '"retry limit" or lease': {"retry first", "lease"},
            '"deadline retry"': set(),
            "retry lease": set(),
            # An alternative that only excludes finds nothing, and hides no other.
            "lease or -retry": {"lease"},
            "-limit or lease or the -deadline": {"lease"},
            "-lease": set(),
            "lease -deadLine": {"lease"},
            "retry -leAse -deadLine": set(),
        }
        async with store.reader() as view:
            for query, hits in expected.items():
                assert (
                    set(names(await view.knowledge.keyword_search(query, match=Match.WEB))) == hits
                ), query

    async def test_a_quoted_phrase_is_found_with_compounds_in_it(self, store: Store) -> None:
        lines = (
            "raise ConnectionError(err, request=request)",
            "see src/db/client.ts first",
            "mail user@example.com and https://example.com/a/b?c=d",
            "#include <iostream>",
            "let names: Vec<String> = vec![];",
            "exceeded max_retries now",
        )
        await write(store, *(chunk(line, f"x\n    {line}\ny") for line in lines))
        async with store.reader() as view:
            for line in lines:
                for query, expected in (
                    (f'"{line}"', {line}),
                    (f'x -"{line}"', {*lines} - {line}),
                    (f'"x {line} y"', {line}),
                    (f'"y {line}"', set()),
                ):
                    hits = await view.knowledge.keyword_search(query, match=Match.WEB)
                    assert set(names(hits)) == expected, query

    @pytest.mark.parametrize(
        ("text", "queries"),
        [
            ("#include <iostream>", ("iostream", "<iostream>", "#include <iostream>")),
            ("static_cast<uint32_t>(n)", ("uint32_t", "uint32 t", "static cast")),
            ("int* p = &value;", ("value", "&value")),
            ('<a href="/home">Home</a>', ("href", "home")),
            ("see CVE-2026-2332", ("2332", "CVE 2026 2332", "cve-2026-2332")),
            ("ORA-00942: no such table", ("00942", "ORA-00942", "ora 00942")),
            ("requests v2.32.3", ("2.32.3", "v2.32.3", "32")),
            ("requests-2.32.3.tar.gz", ("2.32.3", "v2.32.3", "tar.gz")),
            ("fixed in 2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", ("2fd4e1c", "2fd4e1c67a")),
            ("fixed in 2fd4e1c", ("2fd4e1c67a2d28fced849ee1bb76e7391b93eb12", "2fd4e1c")),
            ("未处理的异常", ("异常", "处理", "未处理的异常")),
            ("URLs of the HTTPServer", ("url", "http server", "HTTPServer")),
            ("get-user-name", ("getUserName", "get_user_name", "user name")),
            ("send the github token", ("GitHub", "GitHub token", "git-hub")),
            ("upgrade to 2.0.0rc1", ("2.0.0", "v2.0.0", "2.0.0rc1")),
            ("pass isOn to it", ("isOn", "is_on")),
            ("at 2026-11-30T12:00:00Z", ("2026-11-30", '"2026-11-30"', "2026-11-30 12:00")),
            ("n = 1_000_000", ("1000000", "1_000_000")),
            ("limit = 1000000", ("1000000", "1_000_000")),
            ("q=john%20smith", ("smith", "john smith", "q=john%20smith")),
        ],
    )
    async def test_code_is_found_by_its_parts_and_as_a_whole(
        self, store: Store, text: str, queries: tuple[str, ...]
    ) -> None:
        decoys = ("CVE-2025-1 ORA-1 v2.3.2", "include a static home", "abc1234 deadbeef 2332.5")
        await write(store, chunk("good", text), *(chunk(decoy, decoy) for decoy in decoys))
        async with store.reader() as view:
            for query in queries:
                for match in Match:
                    hits = names(await view.knowledge.keyword_search(query, match=match))
                    assert hits[:1] == ["good"], (query, match)

    @pytest.mark.parametrize("match", Match)
    @pytest.mark.parametrize(
        ("text", "queries"),
        [
            ("un café noir", ("café", "cafe\u0301", '"un cafe\u0301"', "CAFE\u0301")),
            ("un cafe\u0301 noir", ("café", "cafe\u0301", '"cafe\u0301 noir"', "CAFÉ")),
            ("call getÉtatName()", ("getÉtatName", "getE\u0301tatName")),
            ("call getE\u0301tatName()", ("getÉtatName", "getE\u0301tatName")),
            ("\ud55c\uae00 이름", ("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af")),
            ("\u1112\u1161\u11ab\u1100\u1173\u11af", ("\ud55c\uae00", "\u1112\u1161\u11ab")),
            (
                "the office",
                ("oﬃce", "\uff4f\uff46\uff46\uff49\uff43\uff45", "of\u00adfice", "of\u200bfice"),
            ),
            ("oﬃce", ("oﬃce",)),
            ("of\u00adfice", ("of\u00adfice",)),
        ],
    )
    async def test_a_query_finds_texts_that_write_its_characters_with_other_code_points(
        self, store: Store, text: str, queries: tuple[str, ...], match: Match
    ) -> None:
        await write(store, chunk("good", text), chunk("decoy", "cafe etat fice 글"))
        async with store.reader() as view:
            for query in queries:
                hits = await view.knowledge.keyword_search(query, match=match)
                assert names(hits)[:1] == ["good"], query
            for query in queries:
                hits = await view.knowledge.keyword_search(f"decoy or fice -{query}", match=match)
                assert (match is Match.WEB) <= ("good" not in names(hits)), query

    async def test_each_of_several_compounds_is_met_by_its_words_or_as_one_word(
        self, store: Store
    ) -> None:
        texts = ("git hub get user name", "github getusername", "git hub getUserName", "github")
        common = [f"git user {number}" for number in range(9)]
        await write(store, *(chunk(text, text) for text in (*texts, "hub name", *common)))
        expected = {
            "GitHub getUserName": set(texts[:3]),
            "GitHub get_user_name user": {texts[0], texts[2]},
            "GitHub nowhereAtAll": set(),
        }
        web = {
            "nowhereAtAll or getUserName": set(texts[:3]),
            "GitHub getUserName or hub": {*texts[:3], "hub name"},
            "GitHub -getUserName or the": {"github"},
        }
        async with store.reader() as view:
            for query, hits in {**expected, **web}.items():
                for match in (Match.WEB,) if query in web else (Match.ALL, Match.WEB):
                    rows = await view.knowledge.keyword_search(query, match=match, limit=20)
                    assert set(names(rows)) == hits, (query, match)

    async def test_an_identifier_is_found_in_lower_case_and_ranks_before_its_words(
        self, store: Store
    ) -> None:
        texts = {"words": "the user gets a name", "identifier": "call getUserName first"}
        await write(store, *(chunk(name, text) for name, text in texts.items()))
        async with store.reader() as view:
            assert names(await view.knowledge.keyword_search("getusername")) == ["identifier"]
            hits = names(await view.knowledge.keyword_search("getUserName"))
            assert hits == ["identifier", "words"]

    async def test_the_line_that_matters_is_found_wherever_a_long_query_has_it(
        self, store: Store
    ) -> None:
        frame = (
            '  File "/srv/app/handlers.py", line {0}, in handle_{0}\n    return call_{0}(request)\n'
        )
        traceback = "Traceback (most recent call last):\n" + "".join(map(frame.format, range(900)))
        await write(
            store,
            chunk("cause", "ZweigVoll is raised when a branch has no free slot"),
            *(chunk(f"frame {n}", f"return the file and line of call {n}") for n in range(40)),
        )
        matters = "ZweigVoll: no free slot\n"
        async with store.reader() as view:
            for query in (
                frame.format(1) * 20 + matters,
                traceback + matters,
                matters + traceback,
                traceback * 20 + matters,
            ):
                assert names(await view.knowledge.keyword_search(query))[0] == "cause"

    async def test_all_words_of_a_long_query_are_required(self, store: Store) -> None:
        words = [f"word{number}" for number in range(3_000)]
        await write(store, chunk("every", " ".join(words)), chunk("half", " ".join(words[:1_500])))
        async with store.reader() as view:
            hits = await view.knowledge.keyword_search(" ".join(words), match=Match.ALL)
        assert names(hits) == ["every"]

    async def test_source_types_languages_and_a_filter_each_narrow_what_is_found(
        self, store: Store
    ) -> None:
        await write(
            store,
            chunk("doc en", "deadline", language="en", metadata_={"n": 1}),
            chunk("doc de", "deadline", language="de"),
            chunk("code en", "deadline", source_type="code", language="en"),
            chunk("code", "deadline", source_type="code", metadata_={"n": 1}),
        )
        expected: list[tuple[dict[str, Any], set[str]]] = [
            ({}, {"doc en", "doc de", "code en", "code"}),
            ({"source_types": ["doc"]}, {"doc en", "doc de"}),
            ({"source_types": ["doc", "code", "none"]}, {"doc en", "doc de", "code en", "code"}),
            ({"source_types": ["none"]}, set()),
            ({"languages": ("en",)}, {"doc en", "code en"}),
            ({"languages": ("en", "de"), "source_types": ("doc",)}, {"doc en", "doc de"}),
            ({"where": where("metadata", "n").equals(1)}, {"doc en", "code"}),
            ({"where": where("metadata", "n").equals(1), "source_types": ["code"]}, {"code"}),
            ({"where": where("metadata", "n").equals(1), "languages": ["de"]}, set()),
        ]
        async with store.reader() as view:
            for narrowed, hits in expected:
                assert (
                    set(names(await view.knowledge.keyword_search("deadline", **narrowed))) == hits
                ), narrowed

    async def test_the_words_that_matched_are_told_when_asked_for(self, store: Store) -> None:
        await write(
            store,
            chunk("both", "connections", title="Retrying"),
            chunk("one", "A connection and <b>markup</b>"),
        )
        query = "why do retries of connections fail?"
        async with store.reader() as view:
            terms = {
                hit.item.chunk_id: hit.matched_terms
                for hit in await view.knowledge.keyword_search(query, explain=True)
            }
            untold = await view.knowledge.keyword_search(query)
        assert terms == {"both": ("connect", "retri"), "one": ("connect",)}
        assert [hit.matched_terms for hit in untold] == [(), ()]

    async def test_only_the_tenants_chunks_are_found_and_nobody_watches_them(
        self, store: Store
    ) -> None:
        await write(store, chunk("ours", "deadline"))
        await write(store, chunk("theirs", "deadline"), tenant="other")
        async with store.unit_of_work() as uow:
            [hit] = await uow.knowledge.keyword_search("deadline")
            assert facts(hit.item) == facts(await uow.knowledge.get(hit.item.id))
            hit.item.title = "changed"
            await uow.knowledge.upsert_many([chunk("new", "deadline")])
            assert set(names(await uow.knowledge.keyword_search("deadline"))) == {"ours", "new"}
            await uow.commit()
        async with store.reader() as view:
            assert (await view.knowledge.get(hit.item.id)).title is None

    @pytest.mark.parametrize("match", Match)
    async def test_nothing_that_a_user_types_raises(self, store: Store, match: Match) -> None:
        vector = await vectors_of(store)
        await write(
            store, chunk("a", "a b word x bold", embedding=vector(1.0)), chunk("b", UNICODE)
        )
        async with store.unit_of_work() as uow:
            for query in TROUBLE:
                await uow.knowledge.keyword_search(query, match=match, explain=True)
                assert "a" in names(
                    await uow.knowledge.hybrid_search(query, vector(1.0), match=match)
                )
                await uow.memories.keyword_search(query, repo="acme/api", match=match)
                await uow.memories.recall(vector(1.0), query, repo="acme/api", owner="acme")
                await uow.findings.keyword_search(query, match=match)
            await uow.commit()
