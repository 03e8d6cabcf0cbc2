"""The settings of a database, from the environment or from code; immutable."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings

from domain.errors import ConfigurationError
from domain.values.bm25 import DEFAULT_BM25, Bm25
from domain.values.embedding import DEFAULT_DIMENSIONS, MAX_DIMENSIONS, UNSPECIFIED
from domain.values.search import VECTOR_WEIGHT
from domain.values.text import DEFAULT_TENANT, TENANT_PATTERN
from repositories.postgres.connection_settings import ConnectionSettings
from repositories.postgres.settings_errors import explained
from repositories.postgres.settings_sources import (
    CONNECTION,
    Environment,
    with_url,
)
from repositories.postgres.settings_types import (
    NO_LIMIT,
    SECOND,
    Duration,
    Flag,
    Label,
    Limit,
    Number,
    Whole,
)

if TYPE_CHECKING:
    from pydantic_settings import PydanticBaseSettingsSource


class Settings(ConnectionSettings):
    """The settings of one database.

    Values in code take precedence over the environment (`DATABASE_URL`, or parts such as
    `RECOLLECT_HOST`). A `url` or a `host` in code replaces the whole connection of the environment,
    which is then not read; any other part in code replaces that part. A URL and a part from the
    same place must agree: `Settings(url="postgresql://db/reviews")` equals `Settings(host="db",
    database="reviews")`. `url` may be a string, a `SecretStr` or a `ConnectionTarget`.

    Durations are `timedelta` or numbers of seconds. Creating one raises `ConfigurationError`, which
    names the settings and repeats no value; so does an unknown variable with the prefix
    `RECOLLECT_`.
    """

    search_path: str = Field(
        "public",
        pattern=r"^[a-z_][a-z0-9_]*(, ?[a-z_][a-z0-9_]*)*$",
        description="Schemas of the tables; migrations create them in the first.",
    )
    connect_deadline: Duration = Field(
        30 * SECOND, description="Limit of the first connection, over all hosts and attempts."
    )
    pool_size: Whole = Field(
        20,
        ge=1,
        description="Most connections of units of work; they are opened on demand and stay open. "
        "Readers have a pool of the same size.",
    )
    max_overflow: Whole = Field(
        0,
        ge=0,
        description="Connections of each pool beyond `pool_size`. Each is closed after one use, so "
        "a load that needs them always is slow.",
    )
    pool_timeout: Duration = Field(
        10 * SECOND,
        description="How long to wait for a free connection before `PoolExhausted` is raised.",
    )
    statement_timeout: Limit = Field(30 * SECOND, description="Limit of one statement; 0 for none.")
    lock_timeout: Limit = Field(
        5 * SECOND, description="How long a statement waits for a lock; 0 for no limit."
    )
    idle_in_transaction_timeout: Limit = Field(
        30 * SECOND,
        description="How long a transaction may stay idle before the server ends its session; 0 "
        "for no limit.",
    )
    pooler: Literal["none", "pgbouncer"] = Field(
        "none", description="`pgbouncer` if PgBouncer in transaction mode is in between."
    )
    echo: Flag = Field(
        default=False, description="Log every statement. Parameters are never logged."
    )
    language: str = Field(
        "english",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Text search configuration of the database. The server must have it.",
    )
    tenant: str = Field(
        DEFAULT_TENANT,
        pattern=TENANT_PATTERN,
        description="Tenant of units of work and readers that name none.",
    )
    row_level_security: Flag = Field(
        default=False,
        description="Refuse to open a database whose tables, or role, row-level security does not "
        "restrict.",
    )
    hnsw_m: Whole = Field(
        16, ge=2, le=100, description="Links of a node of the vector indexes, used by migrations."
    )
    hnsw_ef_construction: Whole = Field(
        200,
        ge=4,
        le=1000,
        description="Candidates while a vector index is built, at least twice `hnsw_m`.",
    )
    ef_search: Whole = Field(
        400,
        ge=1,
        le=1000,
        description="Candidates that a vector search reads from its index; it reads at least"
        " twice its limit, and at most 1,000.",
    )
    vector_weight: Number = Field(
        VECTOR_WEIGHT,
        ge=0,
        le=1,
        description="How much the vector arm of a hybrid search counts, 0 to 1; the keyword arm "
        "counts the rest. `recollect eval --tune` measures it.",
    )
    bm25_k1: Number = Field(
        DEFAULT_BM25.k1,
        ge=0.1,
        le=10,
        description="How much further occurrences of a word add to the score of keyword search.",
    )
    bm25_b: Number = Field(
        DEFAULT_BM25.b, ge=0, le=1, description="How much long rows lose in keyword search, 0 to 1."
    )
    bm25_title: Number = Field(
        DEFAULT_BM25.title,
        ge=1,
        le=10,
        description="How much a word in a title counts in keyword search; in a text it counts 1.",
    )
    bm25_summary: Number = Field(
        DEFAULT_BM25.summary,
        ge=1,
        le=10,
        description="How much a word in a summary counts in keyword search.",
    )
    embedding_provider: Label = Field(
        UNSPECIFIED,
        description="Provider of the embedding model, recorded when the schema is created.",
    )
    embedding_model: Label = Field(
        UNSPECIFIED, description="Embedding model, recorded when the schema is created."
    )
    embedding_dimensions: Whole = Field(
        DEFAULT_DIMENSIONS,
        ge=1,
        le=MAX_DIMENSIONS,
        description="Dimension of embedding columns, used when the schema is created.",
    )

    def __init__(self, **values: Any) -> None:
        refusal: ConfigurationError
        url = values.pop("url", None)
        if url is not None:
            values = with_url(values, url, named="url")
        if url is not None or "host" in values:
            defaults = {name: type(self).model_fields[name].get_default() for name in CONNECTION}
            values = defaults | values
        try:
            super().__init__(**values)
        except ValidationError as error:
            refusal = explained(error, type(self).model_fields)
        else:
            return
        # Outside the handler, so that pydantic's error, which contains the input, is not chained.
        raise refusal

    @classmethod
    def from_env(cls, **overrides: Any) -> Self:
        """Return the settings of the environment.

        Args:
            overrides: settings that take precedence over the environment; each replaces one
                setting, `url` replaces the whole connection.

        Raises:
            ConfigurationError: a variable is malformed, unknown or contradicts another one.
        """
        if "host" in overrides and "url" not in overrides:
            overrides = Environment(cls)() | overrides
        return cls(**overrides)

    @property
    def bm25(self) -> Bm25:
        """The parameters of keyword search."""
        return Bm25(
            k1=self.bm25_k1, b=self.bm25_b, title=self.bm25_title, summary=self.bm25_summary
        )

    def for_migrations(self) -> Self:
        """Return a copy without a limit on statements, because migrations set their own."""
        return self.model_copy(update={"statement_timeout": NO_LIMIT})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources: code, then the environment. No file is read."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, Environment(settings_cls)

    @field_validator("statement_timeout", "lock_timeout", "idle_in_transaction_timeout")
    @classmethod
    def _not_rounded_to_no_limit(cls, limit: timedelta) -> timedelta:
        if NO_LIMIT < limit < timedelta(milliseconds=1):
            raise ValueError("must be zero or at least a millisecond")
        return limit

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.hnsw_ef_construction < 2 * self.hnsw_m:
            raise ConfigurationError(
                "hnsw_ef_construction must be at least twice hnsw_m", setting="hnsw_ef_construction"
            )
        return self
