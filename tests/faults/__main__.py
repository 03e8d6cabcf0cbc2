"""`make faults`.

Every fault test in its full form, then docs/explanation/guarantees.md from what they measured.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults.page import PAGE, figures_in, page

WORKERS = 2  # more would measure each other
PATIENCE_SECONDS = 400  # for one test: its full form takes as long as several short ones
FOLDERS = ("tests/faults", "tests/stateful")
PYTEST = (
    sys.executable,
    "-m",
    "pytest",
    "--quiet",
    "--override-ini",
    f"faulthandler_timeout={PATIENCE_SECONDS}",
    "--numprocesses",
    str(WORKERS),
    "--dist",
    "loadscope",
    "--no-loadscope-reorder",
)


def main(arguments: list[str]) -> int:
    with tempfile.TemporaryDirectory(prefix="recollect-faults-") as folder:
        recorded = Path(folder) / "figures.jsonl"
        environment = {**os.environ, "FAULTS": "full", "FAULTS_FIGURES": str(recorded)}
        # On a disk, as data that is to survive is.
        on_disk = ("--basetemp", str(Path(folder) / "tests"))
        finished = subprocess.run(
            [*PYTEST, *on_disk, *FOLDERS, *arguments], env=environment, check=False
        )
        # Keep the published page if only a part of the tests ran, or if a test failed.
        if finished.returncode == 0 and not arguments:
            PAGE.write_text(page(figures_in(recorded)), encoding="utf-8")
    return finished.returncode


sys.exit(main(sys.argv[1:]))
