"""Every statement of every operation has a form that runs on the shards of Citus."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from repositories import Database
from repositories.testing.statements import statements_of
from tests.contract.shapes import RULES, problems
from tests.contract.suites import samples
from tests.contract.test_predicates import sent_by_every_operation

IMMUTABLE = frozenset({"coalesce", "lower", "num_nulls", "greatest", "sha256", "vector_dims"})
WRONG = {
    "SELECT id, (SELECT reltuples FROM pg_class) FROM knowledge WHERE tenant = $1": (
        "pg_class is read beside knowledge"
    ),
    "DELETE FROM runs WHERE ctid = ANY (ARRAY(SELECT ctid FROM runs))": "ctid in UPDATE or DELETE",
    "SELECT EXISTS (SELECT FROM reviews)": "SELECT without columns",
    "INSERT INTO a (x) VALUES ($1) ON CONFLICT (x) DO UPDATE SET x = excluded.x, y = now()": (
        "now() in DO UPDATE SET"
    ),
    "UPDATE runs SET a=CASE WHEN (b = $1) THEN now() ELSE a END WHERE tenant = $2": (
        "now() in CASE or COALESCE of UPDATE"
    ),
    "UPDATE runs SET a=coalesce($1, clock_timestamp()) WHERE tenant = $2": (
        "clock_timestamp() in CASE or COALESCE of UPDATE"
    ),
    "UPDATE runs SET a=$1 WHERE tenant = $2 AND sha256(convert_to(runs.text, $3)) = $4": (
        "convert_to() of runs.text, a function that is not IMMUTABLE"
    ),
    "DELETE FROM runs WHERE coalesce(runs.a, runs.b + $1::INTERVAL) < now()": (
        "an interval is added to runs.b, a STABLE operator"
    ),
    "INSERT INTO a (x) SELECT x FROM unnest($1) ON CONFLICT DO NOTHING": (
        "INSERT … SELECT … DO NOTHING without RETURNING"
    ),
    "SELECT set_config('lock_timeout', '5', true)": (
        "set_config of lock_timeout: write SET LOCAL, which Citus passes on"
    ),
    "UPDATE reviews SET repo=$1, tenant=$2 WHERE tenant = $3": "the tenant is assigned",
}
RIGHT = [
    "UPDATE runs SET a=(SELECT CASE WHEN (b = $1) THEN now() ELSE a END), c=now() WHERE d = $2",
    "INSERT INTO a (x) VALUES (now()) ON CONFLICT (x) DO UPDATE SET x = lower(excluded.x)",
    "INSERT INTO a (x) SELECT x FROM pg_temp.staged ON CONFLICT DO NOTHING RETURNING 1",
    "SELECT set_config('hnsw.ef_search', '200', true) FROM knowledge WHERE tenant = $1",
    "UPDATE reviews SET repo=$1, at=now() WHERE tenant = $2 AND lower(reviews.repo) = $3",
]


async def immutable_functions(database: Database) -> set[str]:
    """Return the names of the functions of which every overload is IMMUTABLE."""
    every = text("SELECT proname FROM pg_proc GROUP BY proname HAVING bool_and(provolatile = 'i')")
    async with database.engine.connect() as connection:
        return set((await connection.execute(every)).scalars()) | {"coalesce", "greatest", "least"}


async def test_every_statement_of_every_operation_has_a_form_that_runs_on_shards(
    postgres: Database,
) -> None:
    sent = await sent_by_every_operation(postgres)
    operation = uuid4()
    with statements_of(postgres) as statements:
        async with postgres.unit_of_work(operation_id=operation) as uow:
            # Enough rows for COPY.
            await uow.reviews.add_many([samples.review() for _ in range(250)])
            await uow.commit()
        assert await postgres.outcome(operation)
        await postgres.mark_memories_stale("model")
        await postgres.delete_stale_memories()
        await postgres.purge_telemetry(older_than=timedelta(days=1))
        await postgres.purge_runs()
        await postgres.purge_authors()
    immutable = await immutable_functions(postgres)
    sent.update(statements)
    assert len(sent) > 150
    wrong = {each: broken for each in sent if (broken := problems(each, immutable))}
    assert wrong == {}


@pytest.mark.parametrize(("statement", "problem"), WRONG.items(), ids=WRONG.values())
def test_a_statement_of_another_form_is_found(statement: str, problem: str) -> None:
    assert problems(statement, IMMUTABLE) == [problem]


def test_each_rule_has_a_statement_that_breaks_it() -> None:
    assert all(any(rule(each, IMMUTABLE) for each in WRONG) for rule in RULES)


@pytest.mark.parametrize("statement", RIGHT)
def test_a_statement_of_this_form_is_not_taken_for_another(statement: str) -> None:
    assert problems(statement, IMMUTABLE) == []
