"""Factories of authors."""

from __future__ import annotations

from factory import fuzzy
from factory.declarations import LazyFunction, Sequence

from domain.entities.authors import AuthorCacheEntry, AuthorTier
from repositories.testing.factories.base import EntityFactory, new_id
from repositories.testing.factories.texts import REPOS


class AuthorCacheEntryFactory(EntityFactory[AuthorCacheEntry]):
    """An author with earlier pull requests."""

    id = LazyFunction(new_id)
    repo = fuzzy.FuzzyChoice(REPOS)
    author_login = Sequence(lambda n: f"author-{n}")
    tier = AuthorTier.REGULAR
    author_association = "CONTRIBUTOR"
    pr_count = fuzzy.FuzzyInteger(1, 50)
