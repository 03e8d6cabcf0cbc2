"""Factories of authors."""

from __future__ import annotations

from typing import Any

from factory import fuzzy
from factory.declarations import LazyFunction, Sequence

from domain.entities.authors import AuthorCacheEntry, AuthorTier
from repositories.testing.factories.base import EntityFactory, new_id
from repositories.testing.factories.texts import REPOS


class AuthorCacheEntryFactory(EntityFactory[AuthorCacheEntry]):
    """An author with earlier pull requests."""

    id: Any = LazyFunction(new_id)
    repo: Any = fuzzy.FuzzyChoice(REPOS)
    author_login: Any = Sequence(lambda n: f"author-{n}")
    tier: Any = AuthorTier.REGULAR
    author_association: Any = "CONTRIBUTOR"
    pr_count: Any = fuzzy.FuzzyInteger(1, 50)
