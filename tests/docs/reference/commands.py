"""The page of the command line, as typer documents its commands."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence

HEAD = """\
# Command line

`pip install "recollect[cli]"` installs the command `recollect`. Commands that use a database \
take it from `--url`, from `DATABASE_URL` or from the
[settings](settings.md) in the environment; without either they use the server that `recollect db \
up` started. A command exits with 0 if it
succeeded, with 1 if it failed, and with 2 if its arguments are wrong. This page is generated \
from the code by `make docs`.
"""

COMMON = """\
## Common options

Many commands have some of these options. The sections below only name them.
"""

_OPTION = re.compile(r"^\* `--[^`]*`.*$", re.MULTILINE)
_COMMAND = re.compile(r"^\* `([\w-]+)`: .*\.\.\.$", re.MULTILINE)
_HEADING = re.compile(r"^#+ `recollect(?P<path>[ \w-]*)`\n\n(?P<summary>.+?)\n", re.MULTILINE)
_OPTIONS = re.compile(r"(?<=\*\*Options\*\*:\n\n)(?:\* .*\n)+")
_SHARED = 4
"""Commands from which on an option is common to them."""

_TITLE = re.compile(r"\A# .*?(?=^## )", re.DOTALL | re.MULTILINE)
_USAGE = re.compile(r"```console\n\$ (.*?)```", re.DOTALL)


def page() -> str:
    """Return the page, which explains an option of several commands once."""
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
    text = _USAGE.sub(_as_text, _TITLE.sub("", html.unescape(ran.stdout))).strip()
    uses = Counter(_OPTION.findall(text))
    common = [option for option, number in uses.items() if number >= _SHARED]
    text = _OPTIONS.sub(lambda block: _without(block[0], common), _with_summaries(text))
    return "\n".join([HEAD, COMMON, *common, "", text, ""])


def _without(options: str, common: Sequence[str]) -> str:
    """Return the options of a command, with only the names of the common ones."""
    lines = options.splitlines()
    own = [line for line in lines if line not in common]
    names = [line.split("`")[1].split()[0] for line in lines if line in common]
    shared = f"* Common: {', '.join(f'`{name}`' for name in names)}"
    return "\n".join([*own, *([shared] if names else [])]) + "\n"


def _with_summaries(text: str) -> str:
    """Return the text with whole first sentences where typer shortens them in lists."""
    summaries = {
        each["path"].split()[-1]: each["summary"]
        for each in _HEADING.finditer(text)
        if each["path"].strip()
    }
    return _COMMAND.sub(lambda entry: f"* `{entry[1]}`: {summaries[entry[1]]}", text)


def _as_text(usage: re.Match[str]) -> str:
    return f"```text\n{usage[1]}```"
