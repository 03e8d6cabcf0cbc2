"""The unit tests need neither a database nor a driver, and take under two seconds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[2]

# Processor time, because the machine may be busy.
PROGRAM = """
import json, sys, time
import pytest

class Clock:
    def pytest_sessionstart(self):
        self.began = time.process_time()

    def pytest_sessionfinish(self, session, exitstatus):
        self.figures = {
            "seconds": time.process_time() - self.began,
            "status": exitstatus,
            "tests": session.testscollected,
        }

clock = Clock()
pytest.main(["-q", "-p", "no:cacheprovider", "--assert=plain", sys.argv[1]], plugins=[clock])
unwanted = {"asyncpg", "alembic", "repositories.database", "repositories.unit_of_work"}
loaded = unwanted & set(sys.modules)
print(json.dumps({**clock.figures, "loaded": sorted(loaded)}))
"""


def test_the_unit_tests_pass_in_under_two_seconds_without_a_driver() -> None:
    command = [sys.executable, "-c", PROGRAM, str(HERE / "unit")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert (figures["status"], figures["loaded"]) == (0, []), ran.stdout
    assert figures["tests"] >= 40
    assert figures["seconds"] < 2


def test_the_linter_refuses_imports_of_the_store_in_the_service() -> None:
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
