"""Write every generated page and table: `make docs`."""

from __future__ import annotations

from tests.docs.reference.pages import pages

if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
