"""The command line: `recollect --help`, or `python -m repositories.cli --help`."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Final

_TOOLKIT: Final = ("rich", "typer")


def main() -> None:
    """Run the command line on the program's arguments, and end with its exit code.

    Without the extra `cli`, it prints which extra to install and ends with 1. It does the same with
    the place of another package `domain` that stands in front of Recollect's on `sys.path`.
    """
    if (foreign := _foreign_domain()) is not None:
        sys.exit(
            f"the package `domain` that Python imports is not Recollect's but {foreign}: "
            "rename it, or remove its folder from PYTHONPATH"
        )
    try:
        # Here, because it takes a second in which somebody may change their mind.
        from repositories.cli.app import app
    except KeyboardInterrupt:
        sys.exit(130)
    except ModuleNotFoundError as error:
        if error.name not in _TOOLKIT:
            raise
        sys.exit("the command line needs its extra: pip install 'recollect[cli]'")
    app()


def _foreign_domain() -> str | None:
    """Return where the package `domain` is imported from; None where it is Recollect's own."""
    spec = find_spec("domain")
    imported = None if spec is None else spec.origin
    own = Path(__file__).resolve().parents[2] / "domain" / "__init__.py"
    if imported is not None and Path(imported).resolve() == own:
        return None
    return imported or "none"
