"""The rules of the schema, in memory.

Every rule, with the names that the database gives them.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from itertools import product
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import Column, Integer
from sqlalchemy.dialects.postgresql import INET

from domain import (
    AlreadyExists,
    CheckViolated,
    ConstraintViolated,
    Entity,
    FeedbackReaction,
    Finding,
    InvalidEmbedding,
    InvalidInput,
    KnowledgeChunk,
    MissingValue,
    Outcome,
    RateLimitEvent,
    ReferenceViolated,
    Review,
    RunState,
    TelemetryEvent,
    UnexpectedFailure,
    Vector,
    known_dimensions,
    metadata,
)
from domain.entities.learning import LearningMemory
from domain.schema.constraints import constraint_name
from domain.values.jsonb import FrozenDict
from repositories.fakes import FakeDatabase
from repositories.fakes.checks import read_check
from repositories.fakes.tables import read_tables
from repositories.fakes.values import storing

CHECKS = {
    constraint_name(constraint): str(getattr(constraint, "sqltext", None))
    for table in metadata.sorted_tables
    for constraint in table.constraints
    if hasattr(constraint, "sqltext")
}
E = TypeVar("E", bound=Entity)

CANDIDATES = (
    None,
    -(10**9),
    0,
    1,
    2,
    10**9,
    "no such word",
    "minor",
    *(Vector(values) for values in ([0.0], [1.0], [1e7])),
)


@pytest.fixture
def database() -> FakeDatabase:
    return FakeDatabase(dimensions=3)


def made(kind: type[E], *facts: Mapping[str, Any], **values: Any) -> E:
    return kind(**{name: value for group in (*facts, values) for name, value in group.items()})


def review(**values: Any) -> Review:
    return made(Review, {"repo": "acme/api", "pr_number": 7}, **values)


def finding(review_id: Any, **values: Any) -> Finding:
    fields = {
        "review_id": review_id,
        "repo": "acme/api",
        "file_path": "api.py",
        "title": "Retries",
        "confidence": 90,
    }
    return made(Finding, fields, {"severity": "major", "category": "correctness"}, **values)


def chunk(name: str = "a", **values: Any) -> KnowledgeChunk:
    return made(
        KnowledgeChunk,
        {"chunk_id": name, "source": "a.md", "source_type": "doc", "content": "text"},
        **values,
    )


def unvalidated(entity: Entity, **values: Any) -> Any:
    """Return a copy without validation."""
    return entity.model_copy(update=values)


async def refused(database: FakeDatabase, repository: str, *entities: Entity) -> ConstraintViolated:
    async with database.unit_of_work() as uow:
        with pytest.raises(ConstraintViolated) as raised:
            await getattr(uow, repository).add_many(entities)
    return raised.value


class TestChecks:
    def test_there_are_checks_to_read(self) -> None:
        assert {
            "ck_findings_lines",
            "ck_knowledge_embedding_norm",
            "ck_run_state_status",
        } <= CHECKS.keys()

    @pytest.mark.parametrize("name", sorted(CHECKS))
    def test_every_check_is_understood_and_can_be_kept_and_broken(self, name: str) -> None:
        holds, columns = read_check(CHECKS[name]), sorted(_columns_of(CHECKS[name]))
        answers = set()
        for values in product(CANDIDATES, repeat=len(columns)):
            try:
                answers.add(holds(dict(zip(columns, values, strict=True))))
            except (AttributeError, TypeError):
                continue  # a value of another type than the column's
        words = [
            word for word in CHECKS[name].split("'")[1::2] if holds(dict.fromkeys(columns, word))
        ]
        assert answers >= {False, None}
        assert True in answers or words

    def test_every_table_is_held_to_all_of_its_checks(self) -> None:
        assert {
            name for table in read_tables(3).values() for name, _ in table.checks
        } == CHECKS.keys()

    @pytest.mark.parametrize(
        "sql", ["length(title) > 3", "a = 1 OR b = 2", "a >= 1 AND", "a ~ 'x'", "NOT a"]
    )
    def test_a_check_of_another_form_is_refused(self, sql: str) -> None:
        with pytest.raises(UnexpectedFailure):
            read_check(sql)

    @pytest.mark.parametrize(
        ("sql", "row", "answer"),
        [
            ("a >= 1 AND a <= 3", {"a": 2}, True),
            ("a >= 1 AND a <= 3", {"a": 4}, False),
            ("a >= 1 AND b <= 3", {"a": None, "b": 4}, False),
            ("a >= 1 AND b <= 3", {"a": None, "b": 3}, None),
            ("a IN ('x', 'y')", {"a": "y"}, True),
            ("a IN ('x', 'y')", {"a": "z"}, False),
            ("a IS NOT NULL", {"a": None}, False),
            ("a IS NOT NULL", {"a": 0}, True),
            ("a > 0.5", {"a": Decimal("0.5")}, False),
            ("b >= a", {"a": 2, "b": 1}, False),
        ],
    )
    def test_a_condition_has_three_answers(
        self, sql: str, row: Mapping[str, Any], answer: bool | None
    ) -> None:
        assert read_check(sql)(row) is answer

    @pytest.mark.parametrize(
        ("values", "constraint"),
        [
            ({"start_line": 5, "end_line": 1}, "ck_findings_lines"),
            ({"confidence": 101}, "ck_findings_confidence"),
            ({"severity": "terrible"}, "ck_findings_severity"),
            # Several are broken: PostgreSQL tells the first by name.
            (
                {"severity": "terrible", "category": "none", "confidence": -1},
                "ck_findings_category",
            ),
        ],
    )
    async def test_an_unvalidated_row_is_refused_by_name(
        self, database: FakeDatabase, values: Mapping[str, Any], constraint: str
    ) -> None:
        error = await refused(database, "findings", unvalidated(finding(uuid4()), **values))
        assert (type(error), error.constraint, error.table) == (
            CheckViolated,
            constraint,
            "findings",
        )


def _columns_of(sql: str) -> set[str]:
    columns = {column.name for table in metadata.sorted_tables for column in table.columns}
    words = " ".join(sql.split("'")[::2]).replace("(", " ").replace(")", " ").split()
    return {word for word in words if word in columns}


class TestKeys:
    async def test_a_primary_key_is_reported_before_another_key(
        self, database: FakeDatabase
    ) -> None:
        one = chunk()
        error = await refused(database, "knowledge", one, unvalidated(one))
        assert (type(error), error.constraint, error.table) == (
            AlreadyExists,
            "pk_knowledge",
            "knowledge",
        )

    async def test_a_unique_constraint_is_reported_by_name(self, database: FakeDatabase) -> None:
        error = await refused(database, "knowledge", chunk(), chunk())
        assert (type(error), error.constraint) == (
            AlreadyExists,
            "uq_knowledge_tenant_repo_chunk_id",
        )

    def test_a_constraint_that_is_named_keeps_its_name(self) -> None:
        table = read_tables(3)["global_patterns"]
        assert table.uniques[1].name == "uq_global_patterns_kind"
        assert table.uniques[1].columns == (
            "severity",
            "category",
            "confidence_band",
            "pattern_fingerprint",
        )

    async def test_tenants_have_keys_of_their_own(self, database: FakeDatabase) -> None:
        for tenant in ("one", "two"):
            async with database.unit_of_work(tenant=tenant) as uow:
                await uow.knowledge.add_many([chunk("same")])
                await uow.commit()
        for tenant in ("one", "two"):
            async with database.reader(tenant=tenant) as view:
                assert await view.knowledge.count() == 1

    async def test_missing_values_never_conflict(self, database: FakeDatabase) -> None:
        fields = {
            "repo": "r",
            "owner": "o",
            "source_repo": "r",
            "finding_text": "t",
            "severity": "minor",
            "category": "style",
        }
        memory = {**fields, "file_path": "f", "outcome": Outcome.ACCEPTED, "embedding_model": "m"}
        async with database.unit_of_work() as uow:
            assert (
                await uow.memories.write_many([made(LearningMemory, memory) for _ in range(2)]) == 2
            )

    async def test_a_partial_index_counts_the_rows_that_it_is_about(
        self, database: FakeDatabase
    ) -> None:
        fields = {
            "repo": "r",
            "pr_number": 1,
            "base_sha": "b",
            "head_sha": "h",
            "delivery_id": "d",
            "action": "a",
        }
        runs = [
            made(RunState, fields, run_key=name, status=status)
            for name, status in (("1", "completed"), ("2", "pending"))
        ]
        error = await refused(
            database, "runs", *runs, made(RunState, fields, run_key="3", status="running")
        )
        assert error.constraint == "ix_run_state_tenant_repo_pr_number"
        event = {
            "repo": "r",
            "event_type": "e",
            "cache_hit_rate": 0,
            "skipped_queries": 0,
            "retry_attempts": 0,
        }
        async with database.unit_of_work() as uow:
            record = uow.telemetry.record_rate_limit
            named = {**event, "degradation_path": "p"}
            assert [await record(made(RateLimitEvent, named)) for _ in range(2)] == [True, True]
            assert [
                await record(made(RateLimitEvent, named, delivery_id="d")) for _ in range(2)
            ] == [True, False]


class TestReferences:
    async def test_a_child_needs_its_parent(self, database: FakeDatabase) -> None:
        error = await refused(database, "findings", finding(uuid4()))
        assert (type(error), error.constraint, error.table) == (
            ReferenceViolated,
            "fk_findings_reviews",
            "findings",
        )

    async def test_a_parent_of_another_tenant_is_none(self, database: FakeDatabase) -> None:
        async with database.unit_of_work(tenant="other") as uow:
            of = uow.reviews.add(review())
            await uow.commit()
        assert (
            await refused(database, "findings", finding(of.id))
        ).constraint == "fk_findings_reviews"

    async def test_what_belongs_to_a_row_is_deleted_with_it(self, database: FakeDatabase) -> None:
        of = review()
        parent = finding(of.id)
        facts = {
            "repo": of.repo,
            "severity": "major",
            "category": "style",
            "file_path": "f",
            "title": "t",
        }
        comment = {
            "comment_id": 1,
            "comment_surface": "s",
            "reaction_id": 1,
            "reaction_content": "-1",
            "reactor_login": "x",
        }
        async with database.unit_of_work() as uow:
            uow.reviews.add(of)
            uow.findings.add(parent)
            assert (
                await uow.reactions.add_many(
                    [made(FeedbackReaction, facts, comment, review_id=of.id, finding_id=parent.id)]
                )
                == 1
            )
            await uow.reviews.delete(of.id)
            assert (await uow.findings.count(), await uow.reactions.count()) == (0, 0)


class TestValues:
    @pytest.mark.parametrize("column", ["repo", "pr_number", "conclusion"])
    async def test_a_missing_value_is_reported_by_its_column(
        self, database: FakeDatabase, column: str
    ) -> None:
        async with database.unit_of_work() as uow:
            mine = uow.reviews.add(review())
            await uow.flush()
            vars(mine)[column] = None
            with pytest.raises(MissingValue) as raised:
                await uow.flush()
        assert (raised.value.table, raised.value.column) == ("reviews", column)

    @pytest.mark.parametrize(
        "values",
        [
            {"repo": "a\0b"},
            {"repo": "\ud800"},
            {"pr_number": 2**31},
            {"config_snapshot": {"a": float("nan")}},
            {"repo": 7},
        ],
    )
    async def test_what_its_column_cannot_hold_is_refused(
        self, database: FakeDatabase, values: Mapping[str, Any]
    ) -> None:
        async with database.unit_of_work() as uow:
            with pytest.raises(InvalidInput):
                await uow.reviews.add_many([unvalidated(review(), **values)])

    async def test_an_embedding_of_another_dimension_is_refused_although_the_entity_takes_it(
        self, database: FakeDatabase
    ) -> None:
        with known_dimensions(5):
            other = chunk(embedding=[1, 2, 3, 4, 5])
        async with database.unit_of_work() as uow:
            with pytest.raises(InvalidEmbedding):
                await uow.knowledge.add_many([other])

    @pytest.mark.parametrize(
        ("embedding", "error"), [([0, 0, 0], CheckViolated), ([1e30, 0, 0], CheckViolated)]
    )
    async def test_an_embedding_without_a_direction_is_refused(
        self, database: FakeDatabase, embedding: list[float], error: type[Exception]
    ) -> None:
        async with database.unit_of_work() as uow:
            with pytest.raises(error):
                await uow.knowledge.add_many([unvalidated(chunk(), embedding=Vector(embedding))])

    async def test_vectors_are_kept_as_float32_and_json_as_jsonb_keeps_it(
        self, database: FakeDatabase
    ) -> None:
        entity = unvalidated(
            chunk(embedding=[0.1, 0, 0]), metadata_={"bb": 1e22, "a": [-0.0, {"z": 1, "y": 2}]}
        )
        async with database.unit_of_work() as uow:
            await uow.knowledge.add_many([entity])
            row = await uow.knowledge.get(entity.id, with_embedding=True)
        assert row.embedding is not None
        assert row.embedding.to_list()[0] == 0.10000000149011612
        assert (
            repr(row.metadata_) == "{'a': [0.0, {'y': 2, 'z': 1}], 'bb': 10000000000000000000000}"
        )
        assert isinstance(row.metadata_, FrozenDict)

    async def test_money_is_kept_to_eight_places(self, database: FakeDatabase) -> None:
        event = TelemetryEvent(
            repo="r", event_type="e", model="m", conclusion="c", cost_usd=Decimal("0.5")
        )
        async with database.unit_of_work() as uow:
            await uow.telemetry.record(unvalidated(event, cost_usd=Decimal("0.123456785")))
            row = (await uow.telemetry.list())[0]
            assert str(row.cost_usd) == "0.12345679"
            with pytest.raises(InvalidInput):
                await uow.telemetry.record(unvalidated(event, id=uuid4(), cost_usd=Decimal(10**10)))

    def test_a_column_of_an_unknown_type_is_refused(self) -> None:
        assert storing("n", Column("n", Integer()).type, dimensions=3)(7) == 7
        with pytest.raises(UnexpectedFailure):
            storing("address", INET(), dimensions=3)
