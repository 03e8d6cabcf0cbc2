"""The telemetry recorder in a program of its own.

Events that a signal leaves unwritten, and other handlers of the signal.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from repositories import Database

if TYPE_CHECKING:
    from pydantic import SecretStr

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, signal
from datetime import timedelta
from domain import TelemetryEvent
from repositories import Database

async def main():
    asked = asyncio.Event()
    {handler}
    earlier = signal.getsignal(signal.SIGTERM)
    async with Database.from_env() as database:
        async with database.telemetry_recorder(
            flush_every=timedelta(hours=1), flush_on_signals=True
        ) as recorder:
            for _ in range(50):
                event = TelemetryEvent(
                    repo="a/b", event_type="review", model="m", conclusion="success"
                )
                await recorder.record(event)
            print(recorder.figures.queued, flush=True)
            await asked.wait()
            await recorder.flush()
            print("asked", recorder.figures.written, flush=True)
    print("restored" if signal.getsignal(signal.SIGTERM) is earlier else "not restored", flush=True)

asyncio.run(main())
"""

CASES = {
    "no handler": ("", signal.SIGTERM, -signal.SIGTERM, ""),
    "no handler, interrupted": ("", signal.SIGINT, -signal.SIGINT, ""),
    "the program's": (
        "signal.signal(signal.SIGTERM, lambda *_: asked.set())",
        signal.SIGTERM,
        0,
        "asked 50\nrestored\n",
    ),
    "the loop's": (
        "asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked.set)",
        signal.SIGTERM,
        0,
        "asked 50\nrestored\n",
    ),
}


def signalled(program: str, number: int, url: SecretStr) -> tuple[int, str, str]:
    """Run a program, signal it after it recorded its events, and return its status and output."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "DATABASE_URL": url.get_secret_value()}
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "50\n"
            running.send_signal(number)
            output, failed = running.communicate(timeout=60)
        finally:
            running.kill()
        return running.returncode, output, failed


@pytest.mark.parametrize("server", [18], indirect=True, ids=["postgres-18"])
@pytest.mark.parametrize(("handler", "number", "code", "says"), CASES.values(), ids=CASES)
async def test_what_is_in_memory_is_written_and_the_signal_has_the_effect_that_it_had(
    database: Database, database_url: SecretStr, handler: str, number: int, code: int, says: str
) -> None:
    ended, output, failed = signalled(PROGRAM.format(handler=handler), number, database_url)
    assert (ended, output) == (code, says), failed
    async with database.reader() as view:
        assert await view.telemetry.count() == 50
