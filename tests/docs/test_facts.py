"""Numbers in prose equal the constants of the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Final

import pytest

from domain.values.corpora import NEAR_DUPLICATE
from domain.values.fusion import EVEN_SPREAD
from domain.values.rank_fusion import RRF_K
from domain.values.search import ARM_DEPTH, VECTOR_WEIGHT
from repositories import Database
from repositories.postgres.settings import Settings
from repositories.sql.vector import FEW_ROWS
from tests.docs.pages import DOCS

SEARCH, RETRY = DOCS / "explanation" / "search.md", DOCS / "howto" / "retry.md"
RUN: Final = inspect.signature(Database.run).parameters
NUMBERS: Final = {10: "ten", 30: "thirty"}
ATTEMPTS: Final = NUMBERS[RUN["attempts"].default]
SECONDS: Final = NUMBERS[int(RUN["retry_for"].default.total_seconds())]

FACTS: Final[list[tuple[Path, str]]] = [
    (SEARCH, f"The default is {Settings.model_fields['ef_search'].default}."),
    (SEARCH, f"up to {FEW_ROWS:,} matching rows"),
    (SEARCH, f"{RRF_K + 1} / ({RRF_K} + rank in its corpus)"),
    (SEARCH, f"ranks its best {ARM_DEPTH} rows"),
    (SEARCH, f"({EVEN_SPREAD} + ln rows)"),
    (SEARCH, f"| {VECTOR_WEIGHT} × confidence | {1 - VECTOR_WEIGHT} × confidence |"),
    (SEARCH, f"a cosine similarity of {NEAR_DUPLICATE} or more"),
    (SEARCH, f"`{Settings.model_fields['language'].default}` by default"),
    (RETRY, f"at most {ATTEMPTS} attempts within {SECONDS} seconds"),
]


@pytest.mark.parametrize(("page", "sentence"), FACTS)
def test_a_page_states_the_value_of_the_code(page: Path, sentence: str) -> None:
    assert sentence in re.sub(r"\s+", " ", page.read_text(encoding="utf-8"))
