"""The settings of a database, from the environment or from code; immutable."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import ConfigurationError
from repositories.postgres.settings_sources import (
    CONNECTION,
    PREFIX,
    Environment,
    plain,
    with_url,
)
from repositories.postgres.settings_types import (
    NO_LIMIT,
    SECOND,
    Duration,
    Label,
    Limit,
    Name,
    SessionAttributes,
)
from repositories.postgres.tls import SslMode, default_mode, require_verified
from repositories.postgres.url import (
    DEFAULT_PORT,
    PARAMETERS,
    Address,
    DatabaseUrl,
    parse_addresses,
    parse_options,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_settings import PydanticBaseSettingsSource


def _default_mode(values: Mapping[str, Any]) -> SslMode:
    if not {"host", "port"} <= values.keys():
        return SslMode.VERIFY_FULL
    return default_mode(parse_addresses(values["host"], port=values["port"]))


class Settings(BaseSettings):
    """The settings of one database.

    Values in code take precedence over the environment (`DATABASE_URL`, or parts such as
    `RECOLLECT_HOST`). A `url` or a `host` in code replaces the whole connection of the environment,
    which is then not read; any other part in code replaces that part. A URL and a part from the
    same place must agree: `Settings(url="postgresql://db/reviews")` equals `Settings(host="db",
    database="reviews")`. `url` may be a string or a `SecretStr`.

    Durations are `timedelta` or numbers of seconds. Creating one raises `ConfigurationError`, which
    names the settings and repeats no value; so does an unknown variable with the prefix
    `RECOLLECT_`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    host: str = Field(
        "localhost",
        description="Host name, IP address or folder of a Unix socket. Separate several hosts by "
        "commas; each may name its port (`host:port`).",
    )
    port: int = Field(
        DEFAULT_PORT, ge=1, le=65535, description="Port of the hosts that do not name one."
    )
    database: Name = Field("recollect", description="Name of the database.")
    user: Name = Field("recollect", description="Role that logs in.")
    password: SecretStr | None = Field(
        None, description="Password of the role. It appears in no log, message or repr."
    )
    sslmode: SslMode = Field(
        default_factory=_default_mode,
        description="How the connection is encrypted and the server verified, as in libpq. "
        "Default: `verify-full`, or `prefer` if every host is local.",
    )
    sslrootcert: str | None = Field(
        None,
        description="File with trusted certificates. Default, and with `system`: those of the "
        "operating system.",
    )
    sslcert: str | None = Field(None, description="File with the client's certificate.")
    sslkey: str | None = Field(None, description="File with the key of the client's certificate.")
    insecure: bool = Field(
        default=False,
        description="Allow another `sslmode` than `verify-full` for hosts that are not local.",
    )
    target_session_attrs: SessionAttributes = Field(
        "any",
        description="Which of several hosts to use, as in libpq. With `any`, units of work use "
        "the primary, and readers a standby if one answers.",
    )
    application_name: Name = Field(
        "recollect", description="Name of the sessions in `pg_stat_activity`."
    )
    options: str = Field(
        "",
        description="Server settings as libpq writes them, such as `-c work_mem=64MB`. They take "
        "precedence over the library's.",
    )
    search_path: str = Field(
        "public",
        pattern=r"^[a-z_][a-z0-9_]*(, ?[a-z_][a-z0-9_]*)*$",
        description="Schemas of the tables; migrations create them in the first.",
    )
    connect_timeout: Duration = Field(
        10 * SECOND, description="Limit of one attempt to connect to one host."
    )
    connect_deadline: Duration = Field(
        30 * SECOND, description="Limit of the first connection, over all hosts and attempts."
    )
    pool_size: int = Field(
        10,
        ge=1,
        description="Connections that stay open for units of work. Readers have a pool of the "
        "same size.",
    )
    max_overflow: int = Field(
        10, ge=0, description="Connections of each pool beyond `pool_size`, closed after use."
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
    echo: bool = Field(
        default=False, description="Log every statement. Parameters are never logged."
    )
    language: str = Field(
        "english",
        pattern=r"^[a-z_][a-z0-9_]{0,62}$",
        description="Text search configuration of the database. The server must have it.",
    )
    tenant: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9._-]{1,100}$",
        description="Tenant of units of work and readers that name none.",
    )
    row_level_security: bool = Field(
        default=False,
        description="Refuse to open a database whose tables, or role, row-level security does not "
        "restrict.",
    )
    hnsw_m: int = Field(
        16, ge=2, le=100, description="Links of a node of the vector indexes, used by migrations."
    )
    hnsw_ef_construction: int = Field(
        64,
        ge=4,
        le=1000,
        description="Candidates while a vector index is built, at least twice `hnsw_m`.",
    )
    ef_search: int = Field(
        64,
        ge=1,
        le=1000,
        description="Candidates of a vector search; a search uses at least twice its limit.",
    )
    embedding_provider: Label = Field(
        "unspecified",
        description="Provider of the embedding model, recorded when the schema is created.",
    )
    embedding_model: Label = Field(
        "unspecified", description="Embedding model, recorded when the schema is created."
    )
    embedding_dimensions: int = Field(
        1024,
        ge=1,
        le=16_000,
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
            refusal = _explained(error)
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
    def addresses(self) -> tuple[Address, ...]:
        """The hosts to try, in order; never empty."""
        return parse_addresses(self.host, port=self.port)

    @property
    def url(self) -> DatabaseUrl:
        """The connection as a URL, for programs that only accept one."""
        fields = type(self).model_fields
        values = {name: getattr(self, name) for name in PARAMETERS}
        parameters = {
            name: plain(value)
            for name, value in sorted(values.items())
            if value != fields[name].get_default()
        }
        return DatabaseUrl(self.addresses, self.database, self.user, self.password, parameters)

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

    @field_validator("host")
    @classmethod
    def _readable_hosts(cls, host: str) -> str:
        parse_addresses(host)
        return host

    @field_validator("sslmode", mode="before")
    @classmethod
    def _default_for_the_hosts(cls, mode: object, info: ValidationInfo) -> object:
        return _default_mode(info.data) if mode is None else mode

    @field_validator("options")
    @classmethod
    def _readable_options(cls, options: str) -> str:
        parse_options(options)
        return options

    @field_validator("statement_timeout", "lock_timeout", "idle_in_transaction_timeout")
    @classmethod
    def _not_rounded_to_no_limit(cls, limit: timedelta) -> timedelta:
        if NO_LIMIT < limit < timedelta(milliseconds=1):
            raise ValueError("must be zero or at least a millisecond")
        return limit

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        require_verified(self.sslmode, self.addresses, insecure=self.insecure)
        if self.hnsw_ef_construction < 2 * self.hnsw_m:
            raise ConfigurationError(
                "hnsw_ef_construction must be at least twice hnsw_m", setting="hnsw_ef_construction"
            )
        return self


def _explained(error: ValidationError) -> ConfigurationError:
    """Return an error that names the settings that pydantic refused, without their values."""
    reasons: list[tuple[str, str]] = []
    for detail in error.errors(include_url=False, include_input=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, ConfigurationError):
            return ConfigurationError(str(cause), setting=cause.setting)
        if detail["type"] != "default_factory_not_called":  # a consequence of another one
            name = str(detail["loc"][0]) if detail["loc"] else "settings"
            reasons.append((name, detail["msg"].removeprefix("Value error, ")))
    return ConfigurationError(
        "; ".join(f"{name}: {reason}" for name, reason in reasons), setting=reasons[0][0]
    )
