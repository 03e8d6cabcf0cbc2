"""Cached facts about the authors of pull requests."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import func
from sqlmodel import Field

from domain.schema.base import Record
from domain.schema.constraints import index, unique
from domain.values.numbers import Count
from domain.values.text import Name
from domain.values.timestamps import Timestamp


class AuthorTier(StrEnum):
    """An author's experience with a repository."""

    FIRST_TIME = "first-time"
    REGULAR = "regular"
    CORE = "core"


class AuthorCacheEntry(Record, table=True):
    """The facts about one author in one repository, as the code host reported them.

    Lifecycle:

    - Inserted or replaced by `authors.upsert`, which sets `cached_at`.
    - Read while it is younger than a day, or another age.
    - Deleted by `authors.purge`.

    Unique: `(tenant, repo, author_login)`. Indexes: `(tenant, cached_at)`, for `authors.purge`;
    `(tenant, repo, id)`, for `list` and `page` of one repository.
    """

    __tablename__ = "author_cache"
    __table_args__ = (
        unique("repo", "author_login"),
        index("cached_at"),
        index("repo", "id"),
    )

    repo: Name = Field(description="Repository, as owner/name.")
    author_login: Name = Field(description="Login of the author.")
    tier: AuthorTier = Field(description="Tier of the author in this repository.")
    author_association: Name = Field(
        description="Association with the repository, as the code host reports it."
    )
    pr_count: Count | None = Field(
        default=None, description="Number of merged pull requests of the author."
    )
    cached_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="Time at which the facts were read from the code host.",
    )
