"""Every page that is generated, wholly or in a block, with its text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.docs.reference import (
    arguments,
    commands,
    database,
    entities,
    errors,
    extending,
    settings,
    structure,
    values,
)

DOCS: Final = Path(__file__).parents[3] / "docs"
FOLDER: Final = DOCS / "reference"
STRUCTURE: Final = DOCS / "explanation" / "structure.md"
_BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def pages() -> dict[Path, str]:
    """Return the text that each generated page should have."""
    written = (FOLDER / "errors.md").read_text(encoding="utf-8")
    structured = STRUCTURE.read_text(encoding="utf-8")
    return {
        FOLDER / "entities.md": entities.page(),
        FOLDER / "values.md": values.page(),
        FOLDER / "settings.md": settings.page(),
        FOLDER / "command_line.md": commands.page(),
        FOLDER / "arguments.md": arguments.page(),
        FOLDER / "database.md": database.page(),
        FOLDER / "extending.md": extending.page(),
        FOLDER / "errors.md": with_blocks(written, {"errors": errors.rows()}),
        STRUCTURE: with_blocks(
            structured, {"structure": structure.rows(), "entity": structure.files()}
        ),
    }


def with_blocks(page: str, blocks: dict[str, str]) -> str:
    """Return the page with the contents of every block replaced."""
    return _BLOCK.sub(lambda block: f"{block[1]}{blocks[block[2]]}\n{block[3]}", page)
