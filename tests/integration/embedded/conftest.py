"""Folders for a server of a test's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from repositories.embedded import EmbeddedServer
from tests.integration.embedded.support import start

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not exist yet, and whose server, if a test left one, is stopped."""
    path = tmp_path / "data"
    yield path
    left = EmbeddedServer.find(path) if path.exists() else None
    if left is not None:
        left.stop()
    # It has 50 MB, and pytest keeps the folders of three runs.
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def used_before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("used") / "data"
    with start(path):
        return path


@pytest.fixture
def folder(fresh: Path, used_before: Path) -> Path:
    """A folder that had a server before: a copy is quicker than another initdb."""
    subprocess.run(["cp", "-a", str(used_before), str(fresh)], check=True)
    return fresh
