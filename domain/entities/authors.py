"""What is known of authors."""

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
    """How well a repository knows an author."""

    FIRST_TIME = "first-time"
    REGULAR = "regular"
    CORE = "core"


class AuthorCacheEntry(Record, table=True):
    """What one repository knows of one author, as the code host said at `cached_at`. Upserted; read
    only while fresh.

    Unique: `(tenant, repo, author_login)`. Index: `(tenant, cached_at)` for purging.
    """

    __tablename__ = "author_cache"
    __table_args__ = (unique("repo", "author_login"), index("cached_at"))

    repo: Name = Field(description="Repository, as owner/name.")
    author_login: Name = Field(description="Login of the author.")
    tier: AuthorTier = Field(description="How well the repository knows them.")
    author_association: Name = Field(description="Association, as the code host says.")
    pr_count: Count | None = Field(default=None, description="Pull requests that they had merged.")
    cached_at: Timestamp | None = Field(
        default=None,
        nullable=False,
        sa_column_kwargs={"server_default": func.now()},
        description="When this was learned.",
    )
