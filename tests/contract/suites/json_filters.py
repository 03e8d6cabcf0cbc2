"""Filters of values in JSON: paths, kinds of values, and dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from domain import Filter, where
from tests.contract.suites.filters import matching_values
from tests.contract.suites.kinds import write
from tests.contract.suites.samples import UNICODE, chunk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.contract.suites.store import Store

DOCUMENTS: Final[dict[str, dict[str, Any]]] = {
    "empty": {},
    "text": {"a": "b"},
    "number": {"a": 1},
    "fraction": {"a": 1.5},
    "large": {"a": 10**30},
    "flag": {"a": True},
    "null": {"a": None},
    "nested": {"a": {"b": {"c": "deep"}}, "tags": ["x", "y"]},
    "odd keys": {"a.b": 1, "": 2, UNICODE: UNICODE},
}


IN_JSON: Final[Sequence[tuple[Filter, Sequence[str]]]] = (
    (where("metadata", "a").equals("b"), ["text"]),
    (where("metadata", "a").equals(1), ["number"]),
    (where("metadata", "a").equals(1.0), ["number"]),
    (where("metadata", "a").equals(10**30), ["large"]),
    (where("metadata", "a").equals(1e30), ["large"]),
    (where("metadata", "a").equals(value=True), ["flag"]),
    (where("metadata", "a").one_of([1, "b", False]), ["text", "number"]),
    (where("metadata", "a").one_of([]), []),
    (where("metadata", "a").at_least(1), ["number", "fraction", "large"]),
    (where("metadata", "a").greater_than(1), ["fraction", "large"]),
    (where("metadata", "a").less_than(1.5), ["number"]),
    (where("metadata", "a").at_least(""), ["text"]),
    (where("metadata", "a").less_than("b"), []),
    (
        where("metadata", "a").exists(),
        ["text", "number", "fraction", "large", "flag", "null", "nested"],
    ),
    (where("metadata", "a", "b").exists(), ["nested"]),
    (where("metadata", "a", "b", "c").equals("deep"), ["nested"]),
    (where("metadata", "a", "b", "c").greater_than("deeo"), ["nested"]),
    (where("metadata", "tags").exists(), ["nested"]),
    (where("metadata", "tags").equals("x"), []),
    (where("metadata", "tags", "0").equals("x"), []),
    (where("metadata", "tags", "0").exists(), []),
    (where("metadata", "a.b").equals(1), ["odd keys"]),
    (where("metadata", "").at_least(2), ["odd keys"]),
    (where("metadata", UNICODE).equals(UNICODE), ["odd keys"]),
    (where("metadata", UNICODE).at_least(UNICODE), ["odd keys"]),
    (where("metadata", "missing").equals("x"), []),
    (~where("metadata", "a").exists(), ["empty", "odd keys"]),
    (~where("metadata", "a").at_least(0), ["empty", "text", "flag", "null", "nested", "odd keys"]),
    (
        ~where("metadata", "a").equals("b") & where("metadata", "a").less_than(2),
        ["number", "fraction"],
    ),
    (where("metadata").exists(), list(DOCUMENTS)),
    (where("metadata_", "a").equals(1), ["number"]),
    (where("metadata", "tags").contains("x"), ["nested"]),
    (where("metadata", "tags").contains("X"), []),
    (where("metadata", "tags").contains_any(["z", "y"]), ["nested"]),
    (where("metadata", "tags").contains_any([]), []),
    (where("metadata", "tags").contains_any(["z"]), []),
    (where("metadata", "tags").contains_all(["y", "x", "x"]), ["nested"]),
    (where("metadata", "tags").contains_all(["y", "z"]), []),
    (where("metadata", "tags").contains_all([]), ["nested"]),
    (where("metadata", "a").contains("b"), []),
    (where("metadata", "a").is_null(), ["empty", "null", "odd keys"]),
    (
        ~where("metadata", "a").is_null() & where("metadata", "a").less_than(2),
        ["number", "fraction"],
    ),
    (where("metadata").is_null(), []),
    (where("title").is_null(), list(DOCUMENTS)),
    (
        where("metadata", "a").not_equals(1),
        ["empty", "text", "fraction", "large", "flag", "null", "nested", "odd keys"],
    ),
    (where("metadata", "a", "b", "c").starts_with("de"), ["nested"]),
    (where("metadata", "a", "b", "c").starts_with("De"), []),
    (where("metadata", "a", "b", "c").contains_text("ee"), ["nested"]),
    (where("metadata", "a").starts_with("1"), []),
    (where("metadata", "a").contains_text(""), ["text"]),
    (
        where("metadata", "a").one_of([*map(str, range(200)), 1, "b", 10**30]),
        ["text", "number", "large"],
    ),
    (where("metadata", "tags").contains_any([*map(str, range(200)), "x"]), ["nested"]),
)
"""Which documents meet which condition."""


NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)
DATES: Final[Sequence[tuple[Any, datetime | None]]] = (
    ("2026-01-02T12:00:00Z", NOON),
    ("2026-01-02T21:00:00+09:00", NOON),
    ("2026-01-02 12:00:00.000z", NOON),
    ("2026-01-02t01:30:00.000001-10:30", NOON + timedelta(microseconds=1)),
    ("2026-01-02T12:00:00.0000015Z", NOON + timedelta(microseconds=2)),
    ("2026-01-02T11:59:59.9999999Z", NOON),
    ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
    ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
    ("9999-12-31T23:59:59.999999Z", datetime.max.replace(tzinfo=UTC)),
    ("2025-02-29T00:00:00Z", None),
    ("2026-13-01T00:00:00Z", None),
    ("no date", None),
    (7, None),
    ("2026-01-02T12:00:00", None),
    ("2026-01-02", None),
    ("2026-01-02T24:00:00Z", None),
    ("2026-01-02T12:00:60Z", None),
    ("2026-01-02T12:00:00+16:00", None),
    ("0000-01-01T00:00:00Z", None),
    ("2026-01-02T12:00:00Z\n", None),
    ("infinity", None),
    ("\u0662026-01-02T12:00:00Z", None),
    (["2026-01-02T12:00:00Z"], None),
    ({"at": "2026-01-02T12:00:00Z"}, None),
    (None, None),
    (True, None),
)
"""Values in JSON, and the moment of those that are dates."""


class JsonFiltersContract:
    """A path compares with values of its own kind, and with no others."""

    async def test_a_path_in_json_leads_through_objects_and_compares_with_its_own_kind(
        self, store: Store
    ) -> None:
        await write(
            store, *(chunk(name, metadata_=document) for name, document in DOCUMENTS.items())
        )
        async with store.reader() as view:
            for condition, names in IN_JSON:
                assert await matching_values(view.knowledge, condition, "chunk_id") == list(
                    names
                ), condition

    async def test_dates_in_json_compare_as_moments_and_other_values_never(
        self, store: Store
    ) -> None:
        await write(
            store, *(chunk(f"{n:02}", metadata_={"at": at}) for n, (at, _) in enumerate(DATES))
        )
        at = where("metadata", "at")
        async with store.reader() as view:
            every = [f"{n:02}" for n, (_, moment) in enumerate(DATES) if moment is not None]
            ancient = datetime(1, 1, 1, tzinfo=UTC)
            later = await view.knowledge.list(at.at_least(ancient))
            earlier = await view.knowledge.list(at.less_than(ancient))
            assert sorted(one.chunk_id for one in [*earlier, *later]) == every
            for moment in filter(None, (moment for _, moment in DATES)):
                names = [f"{n:02}" for n, (_, other) in enumerate(DATES) if other == moment]
                assert await matching_values(view.knowledge, at.equals(moment), "chunk_id") == names
                assert await matching_values(
                    view.knowledge, at.one_of([moment, "no date", 7]), "chunk_id"
                ) == [*names, "11", "12"]
                before = [
                    f"{n:02}"
                    for n, (_, other) in enumerate(DATES)
                    if other is not None and other < moment
                ]
                assert (
                    await matching_values(view.knowledge, at.less_than(moment), "chunk_id")
                    == before
                )
