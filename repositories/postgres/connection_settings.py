"""The part of the settings that says where the database is, and how to log in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from repositories.postgres.connection_target import (
    DEFAULT_PORT,
    PARAMETERS,
    Address,
    ConnectionTarget,
)
from repositories.postgres.settings_sources import PREFIX, plain
from repositories.postgres.settings_types import (
    SECOND,
    Duration,
    Flag,
    Name,
    SessionAttributes,
    Whole,
)
from repositories.postgres.tls import SslMode, default_mode, require_verified
from repositories.postgres.url import parse_addresses, parse_options


def _default_mode(values: Mapping[str, Any]) -> SslMode:
    if not {"host", "port"} <= values.keys():
        return SslMode.VERIFY_FULL
    return default_mode(parse_addresses(values["host"], port=values["port"]))


class ConnectionSettings(BaseSettings):
    """The hosts, the login and TLS; `target` has them as one value."""

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
    port: Whole = Field(
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
    insecure: Flag = Field(
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
    connect_timeout: Duration = Field(
        10 * SECOND, description="Limit of one attempt to connect to one host."
    )

    @cached_property
    def target(self) -> ConnectionTarget:
        """The connection as one value; `str` returns its URL without the password."""
        fields = type(self).model_fields
        values = {name: getattr(self, name) for name in PARAMETERS}
        parameters = {
            name: plain(value)
            for name, value in sorted(values.items())
            if value != fields[name].get_default()
        }
        addresses = parse_addresses(self.host, port=self.port)
        return ConnectionTarget(addresses, self.database, self.user, self.password, parameters)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The hosts to try, in order; never empty."""
        return self.target.addresses

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values, which are not validated."""
        copy = super().model_copy(update=update, deep=deep)
        vars(copy).pop("target", None)  # it may belong to other values
        return copy

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

    @model_validator(mode="after")
    def _verified(self) -> Self:
        require_verified(self.sslmode, self.addresses, insecure=self.insecure)
        return self
