"""The migrations of an installed wheel: nothing of the checkout is on the path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.integration.migrations.support import HEAD

if TYPE_CHECKING:
    from repositories.testing.servers import TestServer

CHECKOUT = Path(__file__).parents[3]
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input"]

PROGRAM = """
import asyncio, os, sys
sys.path.insert(0, sys.argv[1])
import repositories.migrations as migrations
from repositories.postgres.engine import create_engine
from repositories.postgres.settings import Settings

async def main():
    assert migrations.__file__.startswith(sys.argv[1]), migrations.__file__
    engine = create_engine(Settings(url=os.environ["URL"]))
    migrated, drift = await migrations.migrate(engine), await migrations.check(engine)
    print(migrated, drift, await migrations.rollback(engine, "base"))
    await engine.dispose()

asyncio.run(main())
"""


def test_an_installed_wheel_brings_its_migrations(
    servers: dict[int, TestServer], tmp_path: Path
) -> None:
    def run(*command: str | Path, cwd: Path = tmp_path, **environment: str) -> str:
        finished = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    run(
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "--directory",
        tmp_path,
        cwd=CHECKOUT,
    )
    [wheel] = tmp_path.glob("*.whl")
    run(*PIP, "install", "--no-deps", "--no-index", "--target", tmp_path / "installed", wheel)
    url = servers[18].empty().get_secret_value()
    # Isolated: neither the working directory nor PYTHONPATH is looked into.
    assert (
        run(sys.executable, "-I", "-c", PROGRAM, tmp_path / "installed", URL=url)
        == f"{HEAD} [] None\n"
    )
