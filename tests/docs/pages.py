"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
PAGES: Final = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"Save\s+this\s+as\s+`([\w./]+)`[^\n]*:\n\n\Z")
_SUITE = re.compile(r"^(async )?def test_|^class Test", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of code: the line of its page where it begins, its language and its text."""

    page: Path
    line: int
    language: str
    text: str
    file: str | None = None
    """The file that the text before the block says to save it as."""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def is_program(self) -> bool:
        """Whether it is Python that is run by itself."""
        runs = re.search(r"^(asyncio\.run|print)\(", self.text, re.MULTILINE)
        return self.language == "python" and self.file is None and runs is not None

    @property
    def is_suite(self) -> bool:
        """Whether it is a test module."""
        return self.language == "python" and _SUITE.search(self.text) is not None


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [_block(page, text, match) for match in _BLOCK.finditer(text)]


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    before = text[: match.start()]
    saved = _FILE.search(before)
    return Block(page, before.count("\n") + 1, match[1], match[2], saved[1] if saved else None)


def all_blocks() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES for block in blocks(page)]
