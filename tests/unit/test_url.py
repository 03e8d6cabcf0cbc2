"""Parsing and writing the address of a database."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from domain.errors import ConfigurationError
from repositories.postgres.connection_target import Address, ConnectionTarget
from repositories.postgres.url import parse_addresses, parse_options, parse_url

SECRET = "canary-7Qx"


def password_of(url: ConnectionTarget) -> str | None:
    return None if url.password is None else url.password.get_secret_value()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "POSTGRESQL"])
def test_every_usual_scheme_says_the_same(scheme: str) -> None:
    url = parse_url(f"{scheme}://me:{SECRET}@db.example:5433/reviews?sslmode=verify-ca")
    assert url.addresses == (Address("db.example", 5433),)
    assert (url.user, password_of(url), url.database) == ("me", SECRET, "reviews")
    assert url.parameters == {"sslmode": "verify-ca"}


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("postgresql://", ()),
        ("postgresql:///reviews", ()),
        ("postgresql://db", (Address("db", 5432),)),
        ("postgresql://db:/reviews", (Address("db", 5432),)),
        ("postgresql://h1:1,h2:2/reviews", (Address("h1", 1), Address("h2", 2))),
        ("postgresql://h1,h2:2/reviews", (Address("h1", 5432), Address("h2", 2))),
        ("postgresql:///reviews?host=h1:1&host=h2:2", (Address("h1", 1), Address("h2", 2))),
        ("postgresql:///reviews?host=h1,h2&port=1,2", (Address("h1", 1), Address("h2", 2))),
        ("postgresql:///reviews?host=h1,h2&port=7", (Address("h1", 7), Address("h2", 7))),
        ("postgresql://?port=7", (Address("localhost", 7),)),
        ("postgresql:///reviews?host=/run/postgresql", (Address("/run/postgresql", 5432),)),
        (
            "postgresql:///reviews?host=%2Frun%2Fpostgresql&port=5433",
            (Address("/run/postgresql", 5433),),
        ),
        ("postgresql://%2Frun%2Fpostgresql:5433/reviews", (Address("/run/postgresql", 5433),)),
        (
            "postgresql://[::1]:5433,[fe80::1]/reviews",
            (Address("::1", 5433), Address("fe80::1", 5432)),
        ),
        (" postgresql://db/reviews\n", (Address("db", 5432),)),
    ],
)
def test_hosts_are_read_in_every_usual_form(text: str, addresses: tuple[Address, ...]) -> None:
    assert parse_url(text).addresses == addresses


@pytest.mark.parametrize(
    ("written", "password"),
    [
        ("p%40ss%2Fw%3Ard%3F%25", "p@ss/w:rd?%"),
        ("p@ss", "p@ss"),
        ("p:ss:", "p:ss:"),
        ("p#s[s]", "p#s[s]"),
        ("100%", "100%"),
        ("a+b c", "a+b c"),
        ("пароль%20", "пароль "),
        ("", ""),
    ],
)
def test_a_password_may_hold_any_character(written: str, password: str) -> None:
    assert password_of(parse_url(f"postgresql://me:{written}@db/reviews")) == password
    if password:
        assert password_of(parse_url(f"postgresql://me@db/reviews?password={written}")) == password


def test_user_and_database_may_stand_in_the_parameters() -> None:
    url = parse_url("postgresql://db?user=me&dbname=reviews")
    assert (url.user, url.database) == ("me", "reviews")


def test_the_word_of_sqlalchemy_and_of_jdbc_for_tls_is_understood() -> None:
    assert parse_url("postgresql+asyncpg://db/reviews?&ssl=verify-full&").parameters == {
        "sslmode": "verify-full"
    }
    assert parse_url("postgresql://db/reviews?ssl=true").parameters == {"sslmode": "require"}


def test_channel_binding_is_ignored_unless_it_is_required() -> None:
    assert parse_url("postgresql://db/reviews?channel_binding=prefer").parameters == {}
    with pytest.raises(ConfigurationError, match="channel_binding=require"):
        parse_url("postgresql://db/reviews?channel_binding=require")


def test_an_unknown_parameter_is_named() -> None:
    with pytest.raises(
        ConfigurationError, match="the parameter sslcrl, which is not supported"
    ) as caught:
        parse_url("postgresql://db/reviews?sslcrl=/x", setting="DATABASE_URL")
    assert caught.value.setting == "DATABASE_URL"


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"mysql://me:{SECRET}@db/reviews",
        f"host=db password={SECRET}",
        f"postgresql://me:{SECRET}/1@db/reviews",
        f"postgresql://me:12/{SECRET}@db/reviews",
        f"postgresql://me:?{SECRET}@db/reviews",
        f"postgresql://me:1?{SECRET}=x@db/reviews",
        f"postgresql://me:{SECRET}@db:port/reviews",
        f"postgresql://me:{SECRET}@db:65536/reviews",
        f"postgresql://me:{SECRET}@db:0/reviews",
        f"postgresql://me:{SECRET}%ff@db/reviews",
        f"postgresql://me:{SECRET}%00@db/reviews",
        f"postgresql://me:{SECRET}@db a/reviews",
        f"postgresql://me:{SECRET}@h1,/reviews",
        f"postgresql://me:{SECRET}@/reviews?host=h1,h2&port=1,2,3",
        f"postgresql://me:{SECRET}@db/reviews?password=other",
        f"postgresql://me:{SECRET}@db/reviews?sslmode=require&sslmode=disable",
        f"postgresql://me:{SECRET}@db/reviews/more",
    ],
)
def test_a_malformed_url_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_url(text)
    report = f"{caught.value} {caught.value!r}" + "".join(traceback.format_exception(caught.value))
    assert SECRET not in report
    assert caught.value.__context__ is None
    assert caught.value.setting == "url"


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        (f'"postgresql://me:{SECRET}@db/reviews"', "starts with a quotation mark"),
        (f"'postgresql://me:{SECRET}@db/reviews'", "starts with a quotation mark"),
        (f"\ufeffpostgresql://me:{SECRET}@db/reviews", "or a byte order mark: remove it"),
        (f"postgresql://me:{SECRET}@db/reviews # the new one", "a comment, or write %20"),
        (f"postgresql://me:{SECRET}@db/reviews pool_size=5", "remove the blank"),
    ],
)
def test_what_an_env_file_leaves_around_a_url_is_named(text: str, advice: str) -> None:
    with pytest.raises(ConfigurationError, match=advice) as caught:
        parse_url(text, setting="DATABASE_URL")
    assert str(caught.value).startswith("DATABASE_URL ")
    assert SECRET not in str(caught.value)


def test_a_blank_of_a_databases_name_is_encoded() -> None:
    assert parse_url("postgresql://db/my%20reviews\r\n").database == "my reviews"


def test_the_password_shows_only_on_request() -> None:
    url = parse_url(f"postgresql://me:{SECRET}%40@db:5433/reviews?sslmode=require")
    assert str(url) == "postgresql://me:***@db:5433/reviews?sslmode=require"
    assert SECRET not in repr(url)
    assert (
        url.render(show_password=True)
        == f"postgresql://me:{SECRET}%40@db:5433/reviews?sslmode=require"
    )


# Small alphabets: every character that a URL escapes, in one, two and four bytes. Categories of
# Unicode and regular expressions take seconds to generate from.
hosts = st.one_of(
    st.text("az09.-", max_size=20).map(lambda middle: f"a{middle}9"),
    st.ip_addresses().map(str),
    st.text("az09_./ @?-", min_size=1, max_size=30).map(lambda path: f"/{path}z"),
)
text = st.text("aZ09 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~\t\n\x7fßé€😀", min_size=1, max_size=20)
PARAMETERS = ("sslmode", "sslrootcert", "application_name", "options")


@given(
    addresses=st.lists(st.builds(Address, hosts, st.integers(1, 65535)), max_size=3).map(tuple),
    database=st.none() | text,
    user=text,
    password=st.none() | text.map(SecretStr),
    parameters=st.fixed_dictionaries({}, optional=dict.fromkeys(PARAMETERS, text)),
)
def test_a_url_that_is_written_reads_the_same(
    addresses: tuple[Address, ...],
    database: str | None,
    user: str,
    password: SecretStr | None,
    parameters: dict[str, str],
) -> None:
    url = ConnectionTarget(addresses, database, user, password, parameters)
    assert parse_url(url.render(show_password=True)) == url


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("127.0.0.1", True),
        ("127.200.0.1", True),
        ("::1", True),
        ("/run/postgresql", True),
        ("128.0.0.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("0.0.0.0", False),
        ("db", False),
    ],
)
def test_only_this_machine_is_local(host: str, local: bool) -> None:
    assert Address(host, 5432).is_local is local


def test_one_port_serves_every_host_that_names_none() -> None:
    assert parse_addresses("h1, h2:2", port=7) == (Address("h1", 7), Address("h2", 2))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", {}),
        ("-c work_mem=64MB", {"work_mem": "64MB"}),
        ("-cwork_mem=64MB --search-path=a", {"work_mem": "64MB", "search_path": "a"}),
        (r"-c search_path=a,\ b  -c x.y=1", {"search_path": "a, b", "x.y": "1"}),
    ],
)
def test_options_are_read_as_libpq_does(options: str, settings: dict[str, str]) -> None:
    assert parse_options(options) == settings


@pytest.mark.parametrize("options", ["work_mem=1", "-d 5", "-c work_mem", "-c a=1 b"])
def test_options_that_are_no_settings_are_refused(options: str) -> None:
    with pytest.raises(ConfigurationError, match="options must be written as"):
        parse_options(options)
