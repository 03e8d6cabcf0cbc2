"""Random operations take minutes: they run where steps are asked for, as `make soak` does."""

from __future__ import annotations

import os

collect_ignore_glob = [] if "STATEFUL_STEPS" in os.environ else ["test_*.py"]
