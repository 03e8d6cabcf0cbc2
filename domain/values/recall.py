"""Which memories a recall reads."""

from __future__ import annotations

from typing import Final

from domain.values.filters import Filter, where

OWNER_REPOS: Final = 5
"""How many other repositories of an owner share memories: those with most live memories."""


def live_memories(*repos: str) -> Filter:
    """Return the filter that memories of these repositories meet if they are not stale."""
    return where("stale").equals(value=False) & where("repo").one_of(repos)
