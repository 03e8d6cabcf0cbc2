"""The ways that a bulk write can take, and rows for all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from domain import KnowledgeChunk, Vector
from tests.contract.suites.samples import chunk

NEVER = 1_000_000
FEW = 3
"""Rows in a batch, where more than a batch are wanted."""

WAYS = {
    "one INSERT": (NEVER, NEVER, True),
    "COPY": (1, NEVER, True),
    "a list in batches": (1, FEW, True),
    "prepared": (NEVER, FEW, False),
    "batch after batch": (1, FEW, False),
}

KEYS = [uuid4() for _ in range(12)]


def full(number: int) -> KnowledgeChunk:
    return chunk(
        f"chunk {number}",
        f"tab\t, back\\slash, null \\N and 'quotes' {number}",
        repo="acme/ünï",
        language="python",
        title="{a,b}",
        metadata_={"number": number, "text": "ä\\\"'", "list": [1, [2.5, None]], "none": None},
        embedding=Vector([0.1 * number + 0.1] * 8),
        embedding_model="model",
        stale=True,
        token_count=3,
        created_at=datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
    )
