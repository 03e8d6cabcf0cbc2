"""Run programs of the documentation in processes that have imported the library."""

from __future__ import annotations

import gc
import os
import runpy
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Final

from tests.processes import FORKED

TIMEOUT: Final = 120


def run(program: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in its folder, as `python -W error` does, and return what it printed.

    Raises:
        TimeoutError: the program runs too long.
    """
    process = FORKED.Process(target=_run, args=(program,))
    process.start()
    process.join(TIMEOUT)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{program} runs for more than {TIMEOUT} s")
    printed = [_file(program, stream).read_text(encoding="utf-8") for stream in (1, 2)]
    return subprocess.CompletedProcess(program, process.exitcode, *printed)


def _file(program: Path, stream: int) -> Path:
    return program.with_suffix(f".{stream}")


def _run(program: Path) -> None:
    # Standard streams of the process itself, to which its children write as well.
    for stream in (1, 2):
        with _file(program, stream).open("wb") as file:
            os.dup2(file.fileno(), stream)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    os.chdir(program.parent)
    sys.argv[:] = [program.name]
    sys.path.insert(0, str(program.parent))
    warnings.simplefilter("error")
    gc.freeze()
    runpy.run_path(program.name, run_name="__main__")
    # Warns about what the program left open; the process ends without another collection.
    gc.collect()
