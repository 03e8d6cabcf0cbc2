"""The peers' side of the benchmark: an environment of their own, made once, and a worker in it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url

from bench.fixture import CANDIDATES

ROOT: Final = Path(__file__).parents[2]
ENVIRONMENT: Final = ROOT / ".venv-peers"
PINS: Final = ROOT / "requirements" / "peers.txt"
NAMES: Final = ("langchain-postgres", "llama-index", "advanced-alchemy")


def environment() -> Path:
    """Return the Python of the peers' environment.

    It is made where it is missing or not of these pins.
    """
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pins, made_of = hashlib.sha256(PINS.read_bytes()).hexdigest(), ENVIRONMENT / "pins"
    if not made_of.exists() or made_of.read_text() != pins:
        print(f"making {ENVIRONMENT.name} for the peers, once", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        subprocess.run(
            [python, "-m", "pip", "-qq", "--no-input", "install", "--requirement", PINS], check=True
        )
        made_of.write_text(pins)
    return python


class Peers:
    """The worker, which does one thing at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def ask(self, peer: str, *, work: str, **details: Any) -> None:
        """Have a peer do something.

        Raises:
            RuntimeError: it failed, or the worker is gone.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(
            json.dumps({"peer": peer, "work": work, **details}).encode() + b"\n"
        )
        answered = json.loads(
            await self._process.stdout.readline() or b'{"error": "the worker has ended"}'
        )
        if answered["error"] is not None:
            raise RuntimeError(f"{peer}, {work}: {answered['error']}")


@asynccontextmanager
async def peers(url: str, folder: Path, *, dimensions: int, count: int) -> AsyncIterator[Peers]:
    """Start the worker on a database, with `count` passages of the corpus in `folder`."""
    python = await asyncio.to_thread(environment)
    driver_url = (
        make_url(url).set(drivername="postgresql+asyncpg").render_as_string(hide_password=False)
    )
    process = await asyncio.create_subprocess_exec(
        python,
        *("-W", "ignore", "-m", "bench.peers.worker", str(folder)),
        *map(str, (dimensions, count, CANDIDATES)),
        cwd=ROOT,
        env={**os.environ, "BENCH_URL": driver_url, "PYTHONPATH": str(ROOT)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Peers(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
