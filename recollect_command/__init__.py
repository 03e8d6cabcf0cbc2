"""Starts the command `recollect`, from a package whose name no application has.

An application may have a package `repositories` of its own. So this module imports Recollect's only
if it is the one that Python imports.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path


def main() -> None:
    """Run the command line; see `repositories.cli.main`.

    If Python imports another package or module named `repositories`, it prints the path of that one
    and ends with 1.
    """
    spec = find_spec("repositories")
    imported = None if spec is None else spec.origin
    own = Path(__file__).resolve().parents[1] / "repositories" / "__init__.py"
    if imported is None or Path(imported).resolve() != own:
        sys.exit(
            "the package `repositories` that Python imports is not Recollect's but "
            f"{imported or 'none'}: rename it, or remove its folder from PYTHONPATH"
        )
    from repositories.cli import main as run

    run()
