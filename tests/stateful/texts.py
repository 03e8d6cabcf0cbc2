"""Texts for entities: a few values, so that rows often share them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from domain import Vector

OWNERS: Final = ("acme", "other")
REPOS: Final = ("acme/api", "acme/web")
SHARED: Final = (*REPOS, "acme/a", "acme/b", "acme/c", "acme/d", "acme/e")
"""More repositories than an owner shares memories of."""

LOGINS: Final = ("ada", "Bob", "çelik")
MODELS: Final = ("model-a", "model-b")
HEADS: Final = ("1f00", "2e00", "3d00")
DELIVERIES: Final = ("d-1", "d-2", "d-3")
PACKAGES: Final = ("left-pad", "numpy")
PATHS: Final = ("api.py", "src/Deep/path.ts", "ünï.py", "z.go")
COSTS: Final = (
    Decimal(0),
    Decimal("0.00000001"),
    Decimal("9999999999.99999999"),
    Decimal("0.000000005"),
    Decimal("1.5"),
)
JSON: Final[tuple[dict[str, Any], ...]] = (
    {},
    {"a": 1},
    {"a": "1", "b": {"c": True}},
    {"a": 1.5, "b": {"c": None}},
    {"b": {"c": [1, 2]}, "a": False},
    {"a": -1e22, "b": "text"},
)

# No two texts have one length, unless they are the same words: equal lengths could make two scores
# equal but for their last digits.
TITLES: Final = (
    "Retries never end",
    "getUserName leaks a connection pool",
    "The config parser",
    "RETRIES NEVER END!",
    "未处理的异常",
)
SUMMARIES: Final = (
    "Bounded retries.",
    "About parse_config and connections; nothing more than that is said in here, by anyone.",
)
CONTENTS: Final = (
    "Retries are bounded by a deadline.",
    "RETRIES are\tbounded  by a deadline.",  # the same text for distinct results
    "The connection pool hands out a connection until none is left, and then the caller waits for "
    "a connection.",
    "parse_config reads src/config/parser.py and returns a mapping; the parser never raises.",
    "getUserName(id) returns the name of the user, or nothing when no such user exists in the "
    "database of users.",
    "A race between two writers: the last writer wins, and the other learns nothing. Locks were "
    "forgotten on the retry path, as the log of that night shows.",
    "The and of it.",
    "Timeouts, retries, deadlines: retry with jitter, or the herd comes back. A retry storm is "
    "worse than an outage; "
    "deadlines bound it.",
    "用户 输入 未处理的异常 Утечка соединений",
    "#include <iostream> for CVE-2026-11: Vec<String> of requests-2.1.3 leaks a connection at "
    "2fd4e1c67a2d, e.g. &value;",
)
QUERIES: Final = (
    "retries",
    "connection pool",
    "parse config parser",
    "getUserName",
    "",
    "the and of",
    "retry deadline connection user",
    '"connection pool" -waits',
    "retries OR user",
    "src/config/parser.py",
    "-retries",
    "learns\0nothing ' \\ :* & | !",
    "Утечка",
    "writer writer lock",
    "nothing matches zebra",
    '"src/config/parser.py and returns a mapping"',
    'connection -"CVE-2026-11: Vec<String>"',
    "v2.1.3 iostream",
    "2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
    "未处理",
    "retries " * 3_000 + "deadline",
)

# Components are small integers, so that float32 and float64 measure exactly the same.
VECTORS: Final = tuple(
    Vector([float(component) for component in components])
    for components in (
        (1, 0, 0, 0, 0, 0, 0, 0),
        (0, 1, 0, 0, 0, 0, 0, 0),
        (-1, 0, 0, 0, 0, 0, 0, 0),
        (1, 1, 0, 0, 0, 0, 0, 0),
        (2, 1, 0, 0, 0, 0, 0, 1),
        (1, 2, 3, 0, 0, 0, 0, 0),
        (1, -2, 0, 1, 0, 0, 3, 0),
        (0, 0, 0, 0, 5, 0, 0, 1),
        (3, 1, 2, 1, 1, 0, 2, 1),
        (2, 0, 0, 0, 0, 0, 0, 0),
    )
)
BAD_VECTORS: Final[tuple[list[float], ...]] = ([0.0] * 8, [1.0] * 7, [float("nan")] * 8)
