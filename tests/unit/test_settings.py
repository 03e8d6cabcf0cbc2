"""Settings: sources, bounds, and hidden secrets."""

from __future__ import annotations

import os
import pickle
import re
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from domain.errors import ConfigurationError
from repositories import Database
from repositories.postgres.connection_target import Address
from repositories.postgres.settings import Settings
from repositories.postgres.tls import SslMode
from repositories.postgres.url import parse_url

SECRET = "canary-7Qx"


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("RECOLLECT_") or name.upper() == "DATABASE_URL":
            monkeypatch.delenv(name)


def test_without_anything_said_the_database_is_a_local_one() -> None:
    settings = Settings()
    assert settings.addresses == (Address("localhost", 5432),)
    assert (settings.database, settings.user, settings.password) == ("recollect", "recollect", None)
    assert settings.sslmode is SslMode.PREFER
    assert (settings.pool_size, settings.max_overflow, settings.pool_timeout) == (
        20,
        0,
        timedelta(seconds=10),
    )
    assert (
        settings.statement_timeout
        == settings.idle_in_transaction_timeout
        == settings.connect_deadline
        == timedelta(seconds=30)
    )
    assert (settings.lock_timeout, settings.connect_timeout) == (
        timedelta(seconds=5),
        timedelta(seconds=10),
    )
    assert (
        settings.language,
        settings.hnsw_m,
        settings.hnsw_ef_construction,
        settings.ef_search,
    ) == ("english", 16, 200, 400)
    assert (settings.tenant, settings.pooler, settings.echo, settings.embedding_dimensions) == (
        "default",
        "none",
        False,
        1024,
    )


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        (
            f"postgresql://me:{SECRET}@db.example:5433/reviews?sslmode=verify-full&sslrootcert=/ca.pem&application_name=agent",
            {
                "host": "db.example",
                "port": 5433,
                "user": "me",
                "password": SECRET,
                "database": "reviews",
                "sslmode": "verify-full",
                "sslrootcert": "/ca.pem",
                "application_name": "agent",
            },
        ),
        ("postgresql://h1:1,h2:2/reviews", {"host": "h1:1,h2:2", "database": "reviews"}),
        ("postgresql://h1,h2/reviews", {"host": "h1,h2", "database": "reviews"}),
        (
            "postgresql:///reviews?host=/run/pg&port=7",
            {"host": "/run/pg", "port": 7, "database": "reviews"},
        ),
        ("postgresql://[::1]:7", {"host": "::1", "port": 7}),
        (
            "postgresql://h1:1,h2:2?connect_timeout=3&options=-c%20a.b=1",
            {"host": "h1:1,h2:2", "connect_timeout": 3, "options": "-c a.b=1"},
        ),
    ],
)
def test_a_url_and_its_parts_are_the_same_connection(
    url: str, parts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = Settings(url=url)
    assert (
        Settings(**parts)
        == expected
        == Settings(url=SecretStr(url))
        == Settings(url=expected.target.render(show_password=True))
    )
    for name, value in parts.items():
        monkeypatch.setenv(f"RECOLLECT_{name.upper()}", str(value))
    assert Settings.from_env() == expected
    monkeypatch.setenv("DATABASE_URL", url)
    assert Settings() == expected


def test_the_environment_may_hold_any_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_POOL_SIZE", "3")
    monkeypatch.setenv("RECOLLECT_STATEMENT_TIMEOUT", "1.5")
    monkeypatch.setenv("RECOLLECT_LOCK_TIMEOUT", "PT2S")
    monkeypatch.setenv("RECOLLECT_TENANT", "acme")
    monkeypatch.setenv("RECOLLECT_USER", "")
    settings = Settings()
    assert (settings.pool_size, settings.tenant, settings.user) == (3, "acme", "recollect")
    assert (settings.statement_timeout, settings.lock_timeout) == (
        timedelta(seconds=1.5),
        timedelta(seconds=2),
    )


def test_a_url_in_code_replaces_the_whole_connection_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "DATABASE_URL",
        f"postgresql://prod:{SECRET}@prod.example/prod?sslmode=verify-full&sslrootcert=/ca.pem",
    )
    monkeypatch.setenv("RECOLLECT_HOST", "another.example")
    monkeypatch.setenv("RECOLLECT_POOL_SIZE", "3")
    settings = Settings(url="postgresql://localhost/test")
    assert settings == Settings(url="postgresql://localhost/test", pool_size=3)
    assert (settings.user, settings.password, settings.sslmode, settings.sslrootcert) == (
        "recollect",
        None,
        SslMode.PREFER,
        None,
    )


def test_a_part_in_code_replaces_that_part_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db.example/reviews")
    assert Settings(database="other") == Settings(url="postgresql://me@db.example/other")


BAD_URLS = [
    "sqlite:///./test.db",
    "mysql+aiomysql://u:p@h/x",
    "postgresql+psycopg://u:p@h/x",
    "postgresql://u:p@prod.example/x?sslmode=require&pgbouncer=true",
    "postgresql://u:p@a,b/x",
    "postgresql://prod.example/x",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_connection_in_code_reads_none_of_the_environment(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = (
        Settings(host="localhost", user="me", password=SECRET),
        Settings(url="postgresql://db.example/x"),
        Database.embedded("folder", tenant="acme").settings,
    )
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("RECOLLECT_PORT", "not a number")
    monkeypatch.setenv("RECOLLECT_SSLMODE", "nonsense")
    monkeypatch.setenv("RECOLLECT_PASSWORD", "of another host")
    assert expected == (
        Settings(host="localhost", user="me", password=SECRET),
        Settings(url="postgresql://db.example/x"),
        Database.embedded("folder", tenant="acme").settings,
    )


def test_an_override_of_from_env_replaces_one_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://me@db.example/reviews")
    assert Settings.from_env(host="h2") == Settings(url="postgresql://me@h2/reviews")
    assert Settings.from_env(user="you") == Settings(url="postgresql://you@db.example/reviews")
    assert Settings.from_env(url="postgresql://h3") == Settings(url="postgresql://h3")


def test_a_url_that_is_none_is_refused() -> None:
    missing: Any = os.environ.get("NO_SUCH_VARIABLE")
    with pytest.raises(ConfigurationError, match=r"Database\.from_env\(\)"):
        Database.from_url(missing)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("RECOLLECT_POOLSIZE", "did you mean RECOLLECT_POOL_SIZE?"),
        ("recollect_poolsize", "did you mean RECOLLECT_POOL_SIZE?"),
        ("RECOLLECT_TENNANT", "did you mean RECOLLECT_TENANT?"),
        ("RECOLLECT_URL", "did you mean DATABASE_URL?"),
        ("RECOLLECT_DATABASE_URL", "did you mean DATABASE_URL?"),
        ("RECOLLECT_STATEMENT_TIME_OUT", "did you mean RECOLLECT_STATEMENT_TIMEOUT?"),
    ],
)
def test_an_unknown_variable_is_reported_with_the_nearest_setting(
    name: str, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, SECRET)
    for make in (
        Settings,
        Settings.from_env,
        lambda: Settings(url="postgresql://db"),
        lambda: Database.embedded("folder"),
    ):
        with pytest.raises(ConfigurationError) as refusal:
            make()
        assert f"{name.upper()} is not a setting: {advice}" in str(refusal.value)
        assert SECRET not in str(refusal.value)


def test_variables_of_the_compose_file_and_the_scripts_are_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = Path(__file__).parents[2]
    files = [root / "docker-compose.yml", *(root / "deploy").rglob("*")]
    text = "".join(file.read_text() for file in files if file.is_file())
    names = {*re.findall(r"RECOLLECT_[A-Z_]*[A-Z]", text), "RECOLLECT_AZURE_REGION"}
    assert "RECOLLECT_PG_TAG" in names
    for name in names - {"RECOLLECT_PORT"}:
        monkeypatch.setenv(name, "value")
    assert Settings(url="postgresql://localhost").pool_size == 20


def test_a_url_in_place_of_settings_is_refused_with_advice() -> None:
    for value in (f"postgresql://me:{SECRET}@db/reviews", None):
        with pytest.raises(ConfigurationError, match=r"use Database\.from_url") as refusal:
            Database(value)  # type: ignore[arg-type]
        assert SECRET not in str(refusal.value)


def test_what_contradicts_in_one_place_is_named_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match=r"^url and port have different values") as caught:
        Settings(url="postgresql://db:1/reviews", port=2)
    assert caught.value.setting == "port"
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:{SECRET}@db/reviews")
    monkeypatch.setenv("RECOLLECT_PASSWORD", "another")
    with pytest.raises(
        ConfigurationError, match=r"^DATABASE_URL and RECOLLECT_PASSWORD have different values"
    ):
        Settings()
    monkeypatch.setenv("RECOLLECT_PASSWORD", SECRET)
    assert Settings().password == SecretStr(SECRET)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("port", 0),
        ("port", 65536),
        ("port", SECRET),
        ("host", ""),
        ("host", f"{SECRET} a"),
        ("database", ""),
        ("database", "a\0"),
        ("user", "u" * 64),
        ("password", 5),
        ("sslmode", SECRET),
        ("target_session_attrs", SECRET),
        ("options", SECRET),
        ("search_path", 'a"; drop'),
        ("pooler", SECRET),
        ("pool_size", 0),
        ("max_overflow", -1),
        ("pool_timeout", 0),
        ("connect_timeout", -1),
        ("connect_deadline", float("nan")),
        ("connect_deadline", 10**10),
        ("statement_timeout", -1),
        ("statement_timeout", 0.0001),
        ("statement_timeout", 2**31),
        ("lock_timeout", SECRET),
        ("idle_in_transaction_timeout", True),
        ("language", "english'"),
        ("tenant", ""),
        ("tenant", "a b"),
        ("tenant", "a\n"),
        ("tenant", "t" * 101),
        ("hnsw_m", 1),
        ("hnsw_m", 101),
        ("hnsw_ef_construction", 3),
        ("hnsw_ef_construction", 31),
        ("hnsw_ef_construction", 1001),
        ("ef_search", 0),
        ("ef_search", 1001),
        ("embedding_dimensions", 0),
        ("embedding_dimensions", 16_001),
        ("embedding_model", ""),
        ("embedding_model", "a\x1b[2J"),
        ("pool_sise", 5),
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not(setting: str, value: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings(**{setting: value})
    assert caught.value.setting == setting
    assert setting in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_bad_environment_is_named_without_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"mysql://me:{SECRET}@db/reviews")
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL must start with") as caught:
        Settings()
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("embeding_dimensions", 3, "did you mean embedding_dimensions"),
        ("database_url", "postgresql://h/x", "did you mean url"),
        ("statement_timeout", "5 parsecs", "write a number of seconds, or a timedelta in code"),
        ("statement_timeout", -1, "write 0 seconds or more"),
        ("lock_timeout", 1e9, "write at most 2,147,483.647 seconds"),
        ("pool_timeout", True, "write a number of seconds"),
        ("pool_size", True, "write a number"),
        ("pool_size", 2.5, "write a whole number"),
        ("pool_size", 0, "write 1 or more"),
        ("port", 99_999, "write at most 65,535"),
        ("vector_weight", 1.5, "write at most 1"),
        ("vector_weight", False, "write a number"),
        ("echo", "maybe", "write true or false"),
        ("pooler", "pgpool", "write 'none' or 'pgbouncer'"),
        ("sslmode", "off", "write 'disable', 'allow'"),
        ("connect_deadline", -1, "write more than 0 seconds"),
        ("language", "pt-BR", "such as english or simple"),
        ("tenant", "a b", "1 to 100 ASCII letters"),
        ("search_path", '"$user", public', "such as app, public"),
    ],
)
def test_a_bad_setting_is_refused_with_advice(setting: str, value: object, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{setting}: .*{advice}"):
        Settings(**{setting: value})


def test_blanks_around_a_number_or_a_flag_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOLLECT_POOL_SIZE", " 7 ")
    monkeypatch.setenv("RECOLLECT_ECHO", "true ")
    monkeypatch.setenv("RECOLLECT_LOCK_TIMEOUT", " 1.5")
    settings = Settings()
    assert (settings.pool_size, settings.echo) == (7, True)
    assert settings.lock_timeout == timedelta(seconds=1.5)


def test_several_bad_settings_are_all_named() -> None:
    with pytest.raises(ConfigurationError, match=r"port: .*; pool_size: "):
        Settings(port=0, pool_size=0)


def test_zero_means_no_limit_for_the_servers_timeouts() -> None:
    settings = Settings(
        statement_timeout=0, lock_timeout=timedelta(0), idle_in_transaction_timeout=0.001
    )
    assert settings.statement_timeout == settings.lock_timeout == timedelta(0)


def test_a_url_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="url must be a string"):
        Settings(url=5)


@pytest.mark.parametrize(
    "host", ["db.example", "10.0.0.1", "localhost,db.example", "/run/postgresql,db.example"]
)
def test_a_host_elsewhere_must_prove_who_it_is(host: str) -> None:
    assert Settings(host=host).sslmode is SslMode.VERIFY_FULL
    for mode in ("disable", "allow", "prefer", "require", "verify-ca"):
        with pytest.raises(
            ConfigurationError, match="use verify-full, or pass insecure=True"
        ) as caught:
            Settings(host=host, sslmode=mode)
        assert caught.value.setting == "sslmode"
        assert Settings(host=host, sslmode=mode, insecure=True).sslmode == mode


@pytest.mark.parametrize(
    "host", ["localhost", "127.0.0.1", "::1", "/run/postgresql", "/run/postgresql,127.0.0.2"]
)
def test_a_local_host_needs_no_tls(host: str) -> None:
    assert Settings(host=host).sslmode is SslMode.PREFER
    assert Settings(host=host, sslmode="disable").sslmode is SslMode.DISABLE


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://me:{SECRET}@localhost/reviews",
        f"postgresql://localhost/reviews?password={SECRET}",
    ],
)
def test_no_form_of_the_settings_shows_the_password(url: str) -> None:
    settings = Settings(url=url)
    assert settings.password == SecretStr(SECRET)
    shown = [
        str(settings),
        repr(settings),
        settings.model_dump_json(),
        str(settings.model_dump()),
        str(settings.target),
        repr(settings.target),
    ]
    assert not [form for form in shown if SECRET in form]


def test_a_copy_with_another_host_has_another_target() -> None:
    settings = Settings(host="db1.example", port=5433, database="reviews")
    assert settings.target.addresses == (Address("db1.example", 5433),)
    copy = settings.model_copy(update={"host": "db2.example"})
    assert copy.target.addresses == (Address("db2.example", 5433),)
    assert settings.target.addresses == (Address("db1.example", 5433),)


def test_a_parsed_url_gives_the_same_settings() -> None:
    text = f"postgresql://me:{SECRET}@db1.example:5433,db2.example/reviews?application_name=bot"
    assert Settings(url=parse_url(text)) == Settings(url=text)


def test_settings_are_frozen_and_can_be_sent_to_another_process() -> None:
    settings = Settings(url=f"postgresql://me:{SECRET}@localhost/reviews")
    with pytest.raises(ValidationError, match="frozen") as caught:
        settings.password = SecretStr("other")
    assert SECRET not in str(caught.value)
    assert pickle.loads(pickle.dumps(settings)) == settings
