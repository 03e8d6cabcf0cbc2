"""The command line: `recollect --help`, or `python -m repositories.cli --help`."""

from __future__ import annotations

import gc
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_TOOLKIT: Final = ("rich", "typer")
_COLLECT_AFTER: Final = 50_000
"""New objects between two garbage collections; Python's default is 700, or 2,000 in newer versions.
Importing SQLAlchemy and the entities makes 120,000, most of which live until the end."""


def main() -> None:
    """Run the command line on the program's arguments, and end with its exit code.

    If the extra `cli` is not installed, it prints which extra to install and ends with 1. If Python
    imports another package named `domain`, it prints the path of that package and ends with 1.
    """
    if (foreign := _foreign_domain()) is not None:
        sys.exit(
            f"the package `domain` that Python imports is not Recollect's but {foreign}: "
            "rename it, or remove its folder from PYTHONPATH"
        )
    gc.set_threshold(_COLLECT_AFTER)
    try:
        # An interrupt during the import ends the program without a traceback too.
        from repositories.cli.app import app
        from repositories.cli.exit_codes import run
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name not in _TOOLKIT:
            raise
        sys.exit("the command line needs its extra: pip install 'recollect[cli]'")
    try:
        run(app)
    finally:
        # Otherwise Python examines all objects several times before it ends.
        gc.freeze()


def _foreign_domain() -> str | None:
    """Return the path of the package `domain` that Python imports; None if it is Recollect's."""
    spec = find_spec("domain")
    imported = None if spec is None else spec.origin
    own = Path(__file__).resolve().parents[2] / "domain" / "__init__.py"
    if imported is not None and Path(imported).resolve() == own:
        return None
    return imported or "none"
