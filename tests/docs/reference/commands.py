"""The page of the command line, as typer documents its commands."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys

HEAD = """\
# Command line

`pip install "recollect[cli]"` installs the command `recollect`. Commands that use a database \
take it from `--url`, from `DATABASE_URL` or from the
[settings](settings.md) in the environment; without either they use the server that `recollect db \
up` started. A command exits with 0 if it
succeeded, with 1 if it failed, and with 2 if its arguments are wrong. This page is generated \
from the code by `make docs`.
"""

_TITLE = re.compile(r"\A# .*?(?=^## )", re.DOTALL | re.MULTILINE)
_USAGE = re.compile(r"```console\n\$ (.*?)```", re.DOTALL)


def page() -> str:
    """Return the page."""
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "typer",
            "repositories.cli.app",
            "utils",
            "docs",
            "--name",
            "recollect",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "COLUMNS": "120", "PYTHONUTF8": "1"},
    )
    text = html.unescape(ran.stdout)
    return f"{HEAD}\n{_USAGE.sub(_as_text, _TITLE.sub('', text)).strip()}\n"


def _as_text(usage: re.Match[str]) -> str:
    return f"```text\n{usage[1]}```"
