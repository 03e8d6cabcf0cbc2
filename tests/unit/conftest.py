"""What tests of the command share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from repositories.cli import targets as places

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has no programs and an environment that names no database.

    The working directory is empty.
    """
    for name in (*places.NAMES_A_DATABASE, "RECOLLECT_PORT", "RECOLLECT_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
