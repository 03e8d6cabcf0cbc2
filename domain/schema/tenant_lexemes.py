"""The keys of the GIN index for keyword search: a row's tenant, and its lexemes.

The index intersects the rows of a tenant with the rows of a word, so a search fetches no row of
another tenant. A lexeme has one list of rows for each of sixteen groups of tenants. One list for
all tenants takes time that grows with their number. A list for each tenant makes the index large:
64 MB, 166 MB (sixteen groups) and 451 MB for 200,000 passages of 1,800 tenants.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Index, Text, cast, func, text

_SEPARATOR: Final = "chr(1)"
TENANT_KEY: Final = "chr(2)"
"""SQL for what stands before the tenant in its key. No lexeme has the characters 1 and 2."""


PENDING_LIST: Final = {"gin_pending_list_limit": 512}
"""Kilobytes of new keys that wait outside of the index. Every search reads them one by one.

The default of 4 MB made searches up to 13 times as slow. With 512 kB, writes into the index take
12 % longer; with 256 kB 29 %; without a list four times as long.
"""


def lexeme_key_sql(tenant: str, lexeme: str) -> str:
    """Return SQL for the key of a lexeme, as the text of a vector writes it."""
    escaped = f"replace(replace({lexeme}, E'\\\\', E'\\\\\\\\'), '''', '''''')"
    return f"{_group(tenant)} || {escaped}"


def keys_sql(tenant: str, vector: str) -> str:
    """Return SQL for the keys of a row, an array of text that compares bytes.

    It is the expression of `keys_index`.
    """
    lexemes = f"btrim(CAST(strip({vector}) AS text), '''')"
    return (
        f"string_to_array(textcat({_first(tenant)}, replace({lexemes}, {_between(tenant)})),"
        f" {_SEPARATOR})"
    )


def keys_index(vector: Column[Any]) -> Index:
    """Return the GIN index over the keys of a column of lexemes; its name has that of the column.

    Only immutable functions are allowed in an index, and PostgreSQL has none that adds a prefix to
    each element of an array.
    """
    lexemes = func.btrim(cast(func.strip(vector), Text), text("''''"))
    separated = func.replace(lexemes, text(_between("tenant")))
    # `textcat` is the function of `||`. As a call, it leaves `vector` as the only column.
    keys = func.string_to_array(func.textcat(text(_first("tenant")), separated), text(_SEPARATOR))
    return Index(None, keys, postgresql_using="gin", postgresql_with=PENDING_LIST)


def _group(tenant: str) -> str:
    # md5 is not available on a server whose OpenSSL is restricted to FIPS.
    return f"left(encode(sha256(decode({tenant}, 'escape')), 'hex'), 1)"


def _first(tenant: str) -> str:
    return f'({TENANT_KEY} || ({tenant} COLLATE "C") || {_SEPARATOR} || {_group(tenant)})'


def _between(tenant: str) -> str:
    return f"''' ''', {_SEPARATOR} || {_group(tenant)}"
