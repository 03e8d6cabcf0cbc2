"""Documentation is plain prose: no phrase that a reader has to decode."""

from __future__ import annotations

import ast

import pytest

from tests.docs.style import all_hits, hits_in, names_in, texts_in


def test_text_and_names_are_plain() -> None:
    assert all_hits() == [], (
        "rewrite these, as the section on code and text in CONTRIBUTING.md says"
    )


@pytest.mark.parametrize(
    "text",
    [
        "What fails says whether it is safe to try again.",
        "A lock. Who lost claims again.",
        "Of several hosts the primary is used.",
        "A lock was not to be had in time.",
        "It is no replacement.",
        "The ledger of units of work.",
        "Somebody else's, and nobody's.",
    ],
)
def test_a_phrase_is_found(text: str) -> None:
    assert list(hits_in(text.lower() if text.startswith("Some") else text, file="a.md"))


@pytest.mark.parametrize(
    "text",
    [
        "What does a search cost?",
        "What is guaranteed under faults?",
        "It is no longer used.",
        "`nobody` is a name in code.",
        "The server is running.",
    ],
)
def test_plain_prose_is_not(text: str) -> None:
    assert list(hits_in(text, file="a.md")) == []


def test_names_comments_and_messages_of_code_are_read() -> None:
    source = '# a comment\n# of two lines\nfound = "a message with words"\n'
    nodes = list(ast.walk(ast.parse(source)))
    assert [hit.text for hit in names_in(nodes, file="a.py")] == ["found"]
    assert list(texts_in(source, nodes)) == [
        (1, "a comment\nof two lines"),
        (3, "a message with words"),
    ]
