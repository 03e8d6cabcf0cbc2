"""Texts of the factories, with words that a search can find."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from factory.random import randgen

from domain.values.classification import Category, Severity

REPOS: Final = ("acme/api", "acme/web", "acme/billing", "globex/gateway", "globex/mobile")
SYMBOLS: Final = (
    "fetch_page",
    "renew_token",
    "open_session",
    "send_invoice",
    "parse_header",
    "sync_orders",
    "close_pool",
    "retry",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """A kind of thing that reviews find."""

    title: str
    severity: Severity
    category: Category
    file_path: str
    language: str = "python"


ISSUES: Final = (
    Issue(
        title="Retries are not bounded by a deadline",
        severity=Severity.MAJOR,
        category=Category.CORRECTNESS,
        file_path="src/http/client.py",
    ),
    Issue(
        title="Access token is written to the log",
        severity=Severity.CRITICAL,
        category=Category.SECURITY,
        file_path="src/auth/session.py",
    ),
    Issue(
        title="Query is built by joining strings",
        severity=Severity.CRITICAL,
        category=Category.SECURITY,
        file_path="src/storage/orders.py",
    ),
    Issue(
        title="Connection is not returned to the pool after an error",
        severity=Severity.MAJOR,
        category=Category.CORRECTNESS,
        file_path="src/storage/pool.py",
    ),
    Issue(
        title="One query for each row of the page",
        severity=Severity.MEDIUM,
        category=Category.PERFORMANCE,
        file_path="src/api/listing.py",
    ),
    Issue(
        title="Cache key leaves out the tenant",
        severity=Severity.MAJOR,
        category=Category.SECURITY,
        file_path="web/src/cache.ts",
        language="typescript",
    ),
    Issue(
        title="Time without a zone is compared with one that has it",
        severity=Severity.MEDIUM,
        category=Category.CORRECTNESS,
        file_path="src/billing/invoice.py",
    ),
    Issue(
        title="Name says less than the code",
        severity=Severity.MINOR,
        category=Category.STYLE,
        file_path="internal/worker/queue.go",
        language="go",
    ),
    Issue(
        title="Docstring tells of a parameter that is gone",
        severity=Severity.MINOR,
        category=Category.DOCUMENTATION,
        file_path="src/api/schemas.py",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A passage of a document."""

    source: str
    title: str
    content: str


PASSAGES: Final = (
    Passage(
        source="docs/retries.md",
        title="Retries",
        content="Retries are bounded by a deadline and wait longer each time, "
        "with jitter, so that clients do not come at once.",
    ),
    Passage(
        source="docs/authentication.md",
        title="Authentication",
        content="An access token lives for ten minutes and is never logged. "
        "The refresh token stays in the session store.",
    ),
    Passage(
        source="docs/connections.md",
        title="Connection pool",
        content="A connection goes back to the pool in a finally block. "
        "A pool that is exhausted waits, and then says so.",
    ),
    Passage(
        source="docs/queries.md",
        title="Queries",
        content="Parameters are bound, never joined into the text. "
        "A page of rows is one query, whatever it shows of each row.",
    ),
    Passage(
        source="docs/time.md",
        title="Time",
        content="Every moment has a time zone and is kept in UTC. "
        "Local time is made for the reader, at the very end.",
    ),
)


def any_issue() -> Issue:
    """Return an issue at random."""
    return randgen.choice(ISSUES)


def any_passage() -> Passage:
    """Return a passage at random."""
    return randgen.choice(PASSAGES)


def worded(title: str) -> str:
    """Return the issue's title with a place where it was found."""
    return f"{title} in {randgen.choice(SYMBOLS)}"
