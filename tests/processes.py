"""Processes that are forked from one that has imported the library.

To import it again takes longer than most of them run.
"""

from __future__ import annotations

import multiprocessing
from typing import Final

FORKED: Final = (
    multiprocessing.get_context("forkserver")
    if "forkserver" in multiprocessing.get_all_start_methods()
    else multiprocessing.get_context("spawn")
)
FORKED.set_forkserver_preload(["repositories.database", "repositories.embedded"])
