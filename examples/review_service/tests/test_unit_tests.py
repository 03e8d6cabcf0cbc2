"""What the unit tests are worth: they need no database and no time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

# The time is the processor's, so that a busy machine does not decide.
PROGRAM = """
import json, sys, time
import pytest

class Clock:
    def pytest_sessionstart(self):
        self.began = time.process_time()

    def pytest_sessionfinish(self, session, exitstatus):
        self.told = {"seconds": time.process_time() - self.began, "status": exitstatus, "tests": session.testscollected}

clock = Clock()
pytest.main(["-q", "-p", "no:cacheprovider", "--assert=plain", sys.argv[1]], plugins=[clock])
loaded = {"asyncpg", "alembic", "repositories.database", "repositories.unit_of_work"} & set(sys.modules)
print(json.dumps({**clock.told, "loaded": sorted(loaded)}))
"""


def test_the_unit_tests_pass_in_under_two_seconds_without_a_driver() -> None:
    command = [sys.executable, "-c", PROGRAM, str(HERE / "unit")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    told = json.loads(ran.stdout.splitlines()[-1])
    assert (told["status"], told["loaded"]) == (0, []), ran.stdout
    assert told["tests"] >= 40
    assert told["seconds"] < 2


def test_the_linter_keeps_the_service_from_knowing_how_it_is_kept() -> None:
    def codes(module: str, source: str) -> list[str]:
        command = [
            sys.executable,
            "-m",
            "ruff",
            "check",
            "--no-cache",
            "--select",
            "TID",
            "--output-format",
            "json",
        ]
        place = ["--stdin-filename", str(HERE.parent / module), "-"]
        ran = subprocess.run(
            [*command, *place],
            cwd=ROOT,
            input=source,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return [finding["code"] for finding in json.loads(ran.stdout)]

    assert codes("service.py", "from repositories import Database") == ["TID251"]
    assert codes("api.py", "from sqlalchemy import text") == ["TID251"]
    assert codes("service.py", "import asyncpg") == ["TID251"]
    assert codes("main.py", "from repositories import Database") == []
