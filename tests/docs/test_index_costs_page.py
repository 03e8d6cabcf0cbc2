"""The benchmark of index costs measures every index, and its page has the measured figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from bench import index_costs

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer


async def test_every_index_and_generated_column_is_measured(servers: dict[int, TestServer]) -> None:
    url = servers[18].empty()
    measured = await index_costs.measured_costs(url, rows=20, rounds=1)
    names = {cost["name"] for cost in measured["costs"]}
    assert {"search_vector", "text_hash", "ix_knowledge_metadata"} <= names
    assert {cost["table"] for cost in measured["costs"]} == {
        "knowledge",
        "learning_memories",
        "findings",
    }
    assert "pk_knowledge" not in names
    assert all(cost["bytes"] > 0 for cost in measured["costs"] if cost["name"] == "text_hash")
    assert "`ix_findings_search_vector`" in index_costs.tables(measured)


def test_the_tables_of_the_page_are_made_of_the_measured_figures() -> None:
    written = index_costs.PAGE.read_text(encoding="utf-8")
    measured = json.loads(index_costs.MEASURED.read_text(encoding="utf-8"))
    assert index_costs.page(written, measured) == written
    assert index_costs.page(written, {**measured, "costs": measured["costs"][:1]}) != written
