"""The fields of errors of partitions, and of errors as Citus 14.0.1 reported them."""

from __future__ import annotations

from typing import Any, NamedTuple

import asyncpg
import pytest

from domain import errors
from repositories.postgres.error_fields import ErrorFields, fields_of
from repositories.postgres.errors import Phase, translate
from tests.unit.test_postgres_errors import server_error, wrapped

DUPLICATE = 'duplicate key value violates unique constraint "pk_reviews_102097"'
REFERENCE = (
    'insert or update on table "suppression_log_102169" violates foreign key constraint'
    ' "fk_suppression_log_reviews_102169"'
)
CHECK = 'new row for relation "reviews_102097" violates check constraint "ck_reviews_pr_number"'
MISSING = 'null value in column "repo" of relation "reviews_102097" violates not-null constraint'
OF_PARTITION = (
    'null value in column "model" of relation "telemetry_events_2026_11_102121" violates not-null'
    " constraint"
)
KEY_OF_PARTITION = (
    'duplicate key value violates unique constraint "telemetry_events_2026_11_pkey_102121"'
)
COMMIT = "could not commit transaction for shard 102096 on at least one active node"
RESULT, COPY = "ReportResultError", "ReportCopyError"


class Recorded(NamedTuple):
    """A message of Citus, and the error with its fields."""

    sqlstate: str
    function: str
    message: str
    expected: type[errors.RecollectError]
    fields: dict[str, Any]


PK = {"constraint": "pk_reviews", "table": "reviews"}
FK = {"constraint": "fk_suppression_log_reviews", "table": "suppression_log"}
CK = {"constraint": "ck_reviews_pr_number", "table": "reviews"}
COLUMN = {"table": "reviews", "column": "repo"}
RECORDED = [
    Recorded("23505", RESULT, DUPLICATE, errors.AlreadyExists, PK),
    Recorded("23503", RESULT, REFERENCE, errors.ReferenceViolated, FK),
    Recorded("23514", RESULT, CHECK, errors.CheckViolated, CK),
    Recorded("23502", RESULT, MISSING, errors.MissingValue, COLUMN),
    Recorded(
        "23502",
        RESULT,
        OF_PARTITION,
        errors.MissingValue,
        {"table": "telemetry_events", "column": "model"},
    ),
    Recorded(
        "23505",
        RESULT,
        KEY_OF_PARTITION,
        errors.AlreadyExists,
        {"constraint": "pk_telemetry_events", "table": "telemetry_events"},
    ),
    Recorded("XX000", COPY, DUPLICATE, errors.AlreadyExists, PK),
    Recorded("XX000", COPY, REFERENCE, errors.ReferenceViolated, FK),
    Recorded("XX000", COPY, CHECK, errors.CheckViolated, CK),
    Recorded("XX000", COPY, MISSING, errors.MissingValue, COLUMN),
    Recorded("XX000", COPY, KEY_OF_PARTITION, errors.AlreadyExists, {}),
    Recorded("XX000", COPY, "deadlock detected", errors.Conflict, {"sqlstate": "40P01"}),
    Recorded(
        "XX000",
        COPY,
        "could not serialize access due to concurrent update",
        errors.Conflict,
        {"sqlstate": "40001"},
    ),
    Recorded("XX000", COPY, "canceling statement due to lock timeout", errors.LockTimeout, {}),
    Recorded("55P03", RESULT, "canceling statement due to lock timeout", errors.LockTimeout, {}),
    Recorded(
        "40P01",
        "ProcessInterrupts",
        "canceling the transaction since it was involved in a distributed deadlock",
        errors.Conflict,
        {},
    ),
    Recorded("XX000", COPY, "something else", errors.UnexpectedFailure, {}),
    Recorded("XX000", "elog", DUPLICATE, errors.UnexpectedFailure, {}),
]


def of_citus(recorded: Recorded) -> asyncpg.PostgresError:
    return server_error(recorded.sqlstate, message=recorded.message, function=recorded.function)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda one: f"{one.sqlstate} {one.message[:30]}")
def test_an_error_of_a_shard_has_the_type_and_the_names_that_postgresql_gives(
    recorded: Recorded,
) -> None:
    error = translate(wrapped(of_citus(recorded)))
    assert type(error) is recorded.expected
    assert {name: getattr(error, name) for name in recorded.fields} == recorded.fields


def test_the_names_that_the_server_gives_are_not_replaced() -> None:
    error = server_error("23505", message=DUPLICATE, constraint="uq_own", table="own")
    assert fields_of(error) == ErrorFields("23505", "uq_own", "own")


@pytest.mark.parametrize(
    ("shard", "expected"),
    [
        (("reviews_102096", "pk_reviews_102096", None), ("reviews", "pk_reviews", None)),
        (
            ("reviews_102096", "ck_reviews_pr_number", None),
            ("reviews", "ck_reviews_pr_number", None),
        ),
        (("reviews_102096", None, "repo"), ("reviews", None, "repo")),
        (
            ("findings_102160", "fk_findings_reviews_102160", None),
            ("findings", "fk_findings_reviews", None),
        ),
        (
            ("global_patterns_102010", "uq_global_patterns_kind_102010", None),
            ("global_patterns", "uq_global_patterns_kind", None),
        ),
        (
            ("telemetry_events_default_102152", "telemetry_events_default_pkey_102152", None),
            ("telemetry_events", "pk_telemetry_events", None),
        ),
        (
            ("telemetry_events_2026_11_102120", "telemetry_events_2026_11_pkey_102120", None),
            ("telemetry_events", "pk_telemetry_events", None),
        ),
        (("telemetry_events_2026_11_102120", None, "repo"), ("telemetry_events", None, "repo")),
        (("own_102096", "uq_own_102096", None), ("own_102096", "uq_own_102096", None)),
        (("reviews_2", "pk_reviews_2", None), ("reviews_2", "pk_reviews_2", None)),
    ],
)
def test_an_error_of_a_shard_on_the_node_of_the_connection_has_the_names_of_the_table(
    shard: tuple[str, str | None, str | None], expected: tuple[str, str | None, str | None]
) -> None:
    names = zip(("table", "constraint", "column"), shard, strict=True)
    error = server_error("23505", **{name: value for name, value in names if value is not None})
    fields = fields_of(error)
    assert (fields.table, fields.constraint, fields.column) == expected


@pytest.mark.parametrize(
    "partition",
    [
        "telemetry_events_2026_11",
        "telemetry_events_2026_11_05101500000000",
        "telemetry_events_default",
    ],
)
def test_an_error_of_a_partition_names_its_table_and_the_key_of_that(partition: str) -> None:
    error = server_error("23505", constraint=f"{partition}_pkey", table=partition)
    assert fields_of(error) == ErrorFields("23505", "pk_telemetry_events", "telemetry_events")
    error = server_error("23514", constraint="ck_telemetry_events_cost", table=partition)
    assert fields_of(error)[1:3] == ("ck_telemetry_events_cost", "telemetry_events")


@pytest.mark.parametrize("table", ["telemetry_events_notes", "own_2026_11", "notes_default"])
def test_a_table_with_a_similar_name_is_no_partition(table: str) -> None:
    error = server_error("23505", constraint=f"{table}_pkey", table=table)
    assert fields_of(error) == ErrorFields("23505", f"{table}_pkey", table)


def test_a_value_in_a_message_is_not_taken_for_a_name() -> None:
    message = 'invalid text "secret_12", "pk_secret" and pk_reviews'
    assert fields_of(server_error("23505", message=message)) == ErrorFields("23505")


def test_a_name_that_citus_shortened_is_found() -> None:
    message = 'violates unique constraint "uq_learning_memories_tenant_repo_findi_0a1b2c3d_102101"'
    fields = fields_of(server_error("23505", message=message))
    assert (fields.constraint or "").startswith("uq_learning_memories_tenant_repo_findi")


def test_a_commit_that_failed_on_a_worker_has_an_unknown_outcome() -> None:
    error = server_error("XX000", message=COMMIT, function="ErrorIfPostCommitFailedShardPlacements")
    assert type(translate(wrapped(error), phase=Phase.COMMIT)) is errors.CommitOutcomeUnknown


def test_a_commit_that_a_worker_rolled_back_is_a_conflict() -> None:
    error = asyncpg.SerializationError("a worker rolled the transaction back")
    assert type(translate(wrapped(error), phase=Phase.COMMIT)) is errors.Conflict
