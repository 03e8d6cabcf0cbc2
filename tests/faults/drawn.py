"""Hostile values for every type that a field or an argument may have."""

from __future__ import annotations

import array
import math
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

import numpy as np
import uuid_utils
from hypothesis import strategies as st
from pgvector import HalfVector, SparseVector, Vector

from tests.conftest import DIMENSIONS

NUL, HALF = "\0", "\ud800"

# Letters of every plane, marks that combine, directions, what JSON, LIKE, tsquery and SQL escape.
_ALPHABET: Final = (
    "aZ0 \t\n\r\\'\"%_$;:&|!*()<>-/.{}[]éßİſ\u0301\u202e\u200dשع漢👩🏽"
    "\ufeff\ufffe\uffff\U0010ffff\0\ud800\udfff"
)
_LONG: Final = (
    "a" * 400,
    "a" * 401,
    "é" * 200,
    "é" * 201,
    "x" * 2_000,
    "x" * 2_001,
    "a" * 100_000,
    "漢" * 99_999,
)

texts: Final = st.one_of(
    st.text(max_size=20),
    st.text(_ALPHABET, max_size=20),
    st.sampled_from(
        ("", " ", NUL, HALF, "'; DROP TABLE reviews; --", "null", "NaN", "default", *_LONG)
    ),
)
numbers: Final = st.one_of(
    st.integers(-3, 20_000),
    st.sampled_from(
        (0, -1, 2**31 - 1, 2**31, -(2**31) - 1, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1)
    ),
    st.sampled_from((999, 1_000, 5_000)).map(lambda digits: 10**digits),
    st.floats(),
    st.sampled_from(
        (True, False, 1e22, 5e-324, 1.0, -0.0, np.int64(3), np.float32(0.1), np.bool_(1))
    ),
)
decimals: Final = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True),
    st.sampled_from(
        list(
            map(
                Decimal,
                (
                    "-0",
                    "0E-9",
                    "1E-8",
                    "1E-9",
                    "9999.99999999",
                    "10000",
                    "1E+1001",
                    "1E-20000",
                    "sNaN",
                ),
            )
        )
    ),
)
moments: Final = st.one_of(
    st.datetimes(
        timezones=st.sampled_from(
            (UTC, timezone(timedelta(hours=14)), timezone(timedelta(hours=-12, minutes=-34)))
        )
    ),
    st.datetimes(),
    st.sampled_from(
        (
            datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
            datetime.min.replace(tzinfo=UTC),
            datetime.max.replace(tzinfo=UTC),
            date(2026, 1, 1),
            "2026-01-01T00:00:00Z",
            1e18,
        )
    ),
)
keys: Final = st.one_of(
    st.uuids(), st.sampled_from((UUID(int=0), UUID(int=2**128 - 1), UUID(int=1)))
)
"""Ids of the type that is asked for."""

ids: Final = st.one_of(
    st.uuids(),
    st.sampled_from(
        (
            UUID(int=0),
            UUID(int=2**128 - 1),
            uuid_utils.UUID(int=1),
            str(UUID(int=1)),
            "no id",
            "",
            NUL,
            None,
            1,
            b"",
        )
    ),
)


def _nested(depth: int) -> Any:
    value: Any = {}
    for _ in range(depth):
        value = {"a": value}
    return value


_leaves: Final = st.one_of(
    st.none(),
    st.booleans(),
    numbers,
    texts,
    decimals,
    st.sampled_from((b"", {1}, object(), 1j, UUID(int=0))),
)
json: Final = st.one_of(
    st.dictionaries(
        texts,
        st.recursive(
            _leaves,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
            max_leaves=6,
        ),
    ),
    st.sampled_from((99, 100, 101, 3_000)).map(_nested),
    st.sampled_from(({1: 2}, {"a": list(range(3_000))}, [], "{}", None)),
)

_component: Final = st.one_of(
    st.just(400).map(lambda digits: 10**digits),
    st.floats(-10, 10, width=32),
    st.floats(),
    st.sampled_from(
        (
            1e-45,
            1e-46,
            3.4e38,
            3.5e38,
            1e6,
            1e-6,
            -0.0,
            True,
            "1",
            None,
            Decimal("0.1"),
            Fraction(1, 3),
            1j,
        )
    ),
)
_ones: Final = np.ones(DIMENSIONS)
vectors: Final = st.one_of(
    st.lists(st.floats(-10, 10, width=32), min_size=DIMENSIONS, max_size=DIMENSIONS),
    st.lists(_component, min_size=DIMENSIONS - 1, max_size=DIMENSIONS + 1),
    st.lists(_component, min_size=DIMENSIONS, max_size=DIMENSIONS).map(tuple),
    st.sampled_from(
        (
            *([value] * DIMENSIONS for value in (0.0, 1e-7, 1e-3, 1e6, math.nan, math.inf, 1e39)),
            *(
                _ones.astype(kind)
                for kind in ("f2", "f4", "f8", ">f4", "i1", "u8", "?", "c8", "O", "U3", "M8[s]")
            ),
            *(np.ones(shape) for shape in ((), (0,), (1, DIMENSIONS), (DIMENSIONS, 1), (2, 2, 2))),
            np.ones(2 * DIMENSIONS)[::2],
            np.ma.masked_array(_ones, mask=True),
            Vector(_ones),
            HalfVector(_ones),
            SparseVector(_ones),
            array.array("d", _ones),
            range(1, DIMENSIONS + 1),
            [],
            (),
            {},
            {1.0},
            None,
            "",
            "[1,1,1,1,1,1,1,1]",
            b"12345678",
            bytearray(8),
            1,
            [[1.0] * DIMENSIONS],
            iter([1.0] * DIMENSIONS),
            dict.fromkeys(range(DIMENSIONS), 1.0),
        )
    ),
)
anything: Final = st.one_of(
    texts,
    numbers,
    decimals,
    moments,
    ids,
    json,
    vectors,
    st.sampled_from((object(), int, ..., [], {})),
)
