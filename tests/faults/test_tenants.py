"""Every operation next to another tenant that has the same ids and keys.

With the predicate alone, with row-level security alone, and with neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from repositories import Database, operations
from repositories.testing.tables import empty
from tests.contract.calls import TenantData
from tests.contract.foreign import Outcome, a_database, differing, outcomes_of_every_operation
from tests.contract.unguarded import without_the_predicate
from tests.integration.migrations.support import as_superuser, opened

if TYPE_CHECKING:
    from pydantic import SecretStr

    from repositories.testing.servers import TestServer
    from tests.faults.conftest import Effort, Promises

PROMISE = "No tenant sees another's rows"


@pytest.fixture
def url(server: TestServer) -> SecretStr:
    return server.clone()


@pytest.fixture
def admin(server: TestServer, url: SecretStr) -> SecretStr:
    return as_superuser(server, url)


async def told(
    url: SecretStr, admin: SecretStr, data: TenantData, only: str, *, beside_them: bool
) -> dict[str, Outcome]:
    """Return what every operation tells a tenant that has nothing, and leave the database empty."""
    async with Database.from_url(url) as database:
        answers = await outcomes_of_every_operation(
            await a_database(database, None, data if beside_them else None), data, only=only
        )
    async with Database.from_url(admin) as everything:
        await empty(everything)
    return answers


async def test_no_operation_meets_another_tenants_rows(
    url: SecretStr, admin: SecretStr, effort: Effort, promises: Promises
) -> None:
    only = "" if effort.full else ".findings."
    async with Database.from_url(url):
        data = TenantData(2)
    alone = await told(url, admin, data, only, beside_them=False)
    by_predicate = differing(alone, await told(url, admin, data, only, beside_them=True))
    with without_the_predicate():
        by_nothing = differing(alone, await told(url, admin, data, only, beside_them=True))
        async with opened(url) as owner:
            await operations.enable_row_level_security(owner)
        by_the_server = differing(alone, await told(url, admin, data, only, beside_them=True))
    assert (by_predicate, by_the_server) == ([], [])
    assert len(by_nothing) > 10
    promises(
        PROMISE,
        f"0 of {len(alone)} operations return or change another tenant's row, by the predicate "
        "alone or by row-level security alone",
        control=f"{len(by_nothing)} do with the predicate taken out of what repositories share",
    )
