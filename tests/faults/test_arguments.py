"""For any arguments, a method returns or raises a documented error, and the fake does the same."""

from __future__ import annotations

import os
import reprlib
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from uuid import UUID

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from domain import Cursor, InvalidCursor, Outcome, UsageBy, where
from domain.ports import arguments
from domain.values.filters import AllOf, AnyOf, Filter, Not
from repositories.fakes import binding
from repositories.testing.stateful.comparison import Raised
from tests.contract.suites import samples
from tests.contract.suites.kinds import KINDS, put
from tests.faults import drawn as hostile
from tests.faults.test_inputs import plan, sides, try_all
from tests.stateful.driving import quietly
from tests.stateful.sides import Difference

if TYPE_CHECKING:
    from domain import UnitOfWork
    from tests.faults.conftest import Effort, Promises
    from tests.stateful.sides import Sides

__all__ = ["sides"]

Call: TypeAlias = "Callable[[UnitOfWork], Awaitable[Any]]"

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")

PROMISE: Final = "No bad value reaches the database"
SEED: Final = int(os.environ.get("FAULTS_SEED", "0"))
CURSOR: Final = str(Cursor(listing="Review", descending=False, id=samples.review().id))

texts: Final = st.one_of(hostile.texts, st.sampled_from(("acme/api", "review-1", "retries")))
counts: Final = st.one_of(
    hostile.numbers, st.integers(-2, 20), st.sampled_from((9_999, 10_000, 10_001, None, "1", b""))
)
wholes: Final = st.one_of(
    st.integers(),
    st.sampled_from((-1, 0, 1, 2**31 - 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1)),
    st.sampled_from((400, 5_000)).map(lambda digits: 10**digits),
)
scalars: Final = st.one_of(
    hostile.texts, hostile.numbers, hostile.decimals, hostile.moments, hostile.ids, hostile.anything
)
spans: Final = st.one_of(
    st.timedeltas(),
    st.sampled_from((timedelta.max, timedelta.min, timedelta(0), timedelta(days=36_526), None, 1)),
)
days: Final = st.one_of(hostile.numbers, st.floats(0, 40_000), st.sampled_from((None, "7")))
moments: Final = st.one_of(st.none(), hostile.moments)


class Drawn:
    """A value with a name, and a repr that stays short whatever it is."""

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value

    def __repr__(self) -> str:
        inside = [cell.cell_contents for cell in getattr(self.value, "__closure__", None) or ()]
        with suppress(ValueError):  # too many digits
            return f"{self.name}: {reprlib.repr(inside or self.value)}"
        return self.name


def _filters_of(kind: Any) -> st.SearchStrategy[Any]:
    columns = [column.name for column in type(kind.make()[-1]).__table__.columns]
    path = st.one_of(
        st.sampled_from(columns).map(lambda name: (name,)),
        st.tuples(st.sampled_from(columns), hostile.texts),
        st.lists(hostile.texts, min_size=1, max_size=22).map(tuple),
    )
    on = path.map(lambda keys: where(*keys))
    condition = st.one_of(
        *(
            st.builds(lambda of, value, name=name: getattr(of, name)(value), on, scalars)
            for name in ("equals", "less_than", "at_most", "greater_than", "at_least")
        ),
        st.builds(lambda of, values: of.one_of(values), on, st.lists(scalars, max_size=4)),
        on.map(lambda of: of.exists()),
    )
    filters_ = st.recursive(
        condition,
        lambda inner: st.one_of(
            inner.map(Not),
            *(st.lists(inner, max_size=3).map(partial(_put_together, of)) for of in (AllOf, AnyOf)),
        ),
        max_leaves=4,
    )
    return filters_.map(lambda condition: (kind, condition))


def filters() -> st.SearchStrategy[Any]:
    """Draw filters, mostly over columns of the kind, sometimes over unknown names.

    The strategy is built once, because building it takes long.
    """
    return st.one_of(*map(_filters_of, KINDS))


def _put_together(of: type[AllOf | AnyOf], parts: list[Filter]) -> Filter:
    return of(tuple(parts))


def _filtered(drawn: Any) -> Call:
    kind, condition = drawn
    return lambda uow: kind.read(uow).list(condition)


CALLS: Final[dict[str, st.SearchStrategy[Call]]] = {
    "filter": filters().map(_filtered),
    "find": st.builds(lambda key: lambda uow: uow.reviews.find(key), hostile.keys),
    "get_many": st.builds(
        lambda ids: lambda uow: uow.reviews.get_many(ids), st.lists(hostile.keys, max_size=3)
    ),
    "delete": st.builds(lambda key: lambda uow: uow.reviews.delete(key), hostile.keys),
    "list": st.builds(lambda limit: lambda uow: uow.reviews.list(limit=limit), counts),
    "page": st.builds(lambda limit: lambda uow: uow.reviews.page(limit=limit), counts),
    "stream": st.builds(lambda size: lambda uow: _all(uow.reviews.stream(batch_size=size)), counts),
    "chunk": st.builds(
        lambda key, repo: lambda uow: uow.knowledge.find_by_chunk_id(key, repo=repo), texts, texts
    ),
    "delete_chunks": st.builds(
        lambda ids, repo: lambda uow: uow.knowledge.delete_chunks(ids, repo=repo),
        st.lists(texts, max_size=3),
        texts,
    ),
    "keyword_search": st.builds(
        lambda query, limit, kinds: (
            lambda uow: uow.knowledge.keyword_search(
                query, limit=limit, source_types=kinds, languages=kinds
            )
        ),
        texts,
        counts,
        st.lists(texts, max_size=2),
    ),
    "vector_search": st.builds(
        lambda vector, limit, least: (
            lambda uow: uow.knowledge.vector_search(vector, limit=limit, min_score=least)
        ),
        hostile.vectors,
        counts,
        st.none() | hostile.numbers,
    ),
    "hybrid_search": st.builds(
        lambda query, vector: lambda uow: uow.knowledge.hybrid_search(query, vector),
        texts,
        hostile.vectors,
    ),
    "federated": st.builds(
        lambda query, vector, repo: lambda uow: uow.corpora.search(query, vector, repo=repo),
        texts,
        hostile.vectors,
        texts,
    ),
    "findings": st.builds(
        lambda query, repo: lambda uow: uow.findings.keyword_search(query, repo=repo), texts, texts
    ),
    "by_comment": st.builds(
        lambda repo, key: lambda uow: uow.findings.find_by_comment(repo, key), texts, wholes
    ),
    "prior": st.builds(
        lambda repo, pr, limit: lambda uow: uow.findings.prior(repo, pr, limit=limit),
        texts,
        wholes,
        counts,
    ),
    "trends": st.builds(
        lambda repo, days: lambda uow: uow.reviews.trends(repo, days=days), texts, counts
    ),
    "stats": st.builds(
        lambda repo, since: lambda uow: uow.reviews.stats(repo, since=since), texts, moments
    ),
    "run": st.builds(lambda key: lambda uow: uow.runs.find_by_key(key), texts),
    "claim": st.builds(
        lambda repo, pr, sha: (
            lambda uow: uow.runs.claim(
                repo, pr, base_sha=sha, head_sha=sha, delivery_id=sha, action="opened"
            )
        ),
        texts,
        wholes,
        texts,
    ),
    "complete": st.builds(lambda key: lambda uow: uow.runs.complete(key, UUID(int=1)), texts),
    "purge_runs": st.builds(
        lambda span: lambda uow: uow.runs.purge(completed_days=span, pending_hours=span), days
    ),
    "comment": st.builds(
        lambda key, comment: lambda uow: uow.checkpoints.set_comment(key, comment), texts, wholes
    ),
    "checkpoint": st.builds(lambda key: lambda uow: uow.checkpoints.find_by_key(key), texts),
    "author": st.builds(
        lambda repo, login, age: lambda uow: uow.authors.find_author(repo, login, max_age=age),
        texts,
        texts,
        spans,
    ),
    "purge_authors": st.builds(lambda span: lambda uow: uow.authors.purge(days=span), days),
    "bumps": st.builds(
        lambda repo, package: lambda uow: uow.dependency_bumps.history(repo, package), texts, texts
    ),
    "timeouts": st.builds(
        lambda repo, span: lambda uow: uow.telemetry.count_recent_timeouts(repo, repo, days=span),
        texts,
        days,
    ),
    "usage": st.builds(
        lambda repo, since, until: (
            lambda uow: uow.telemetry.usage(by=UsageBy.MODEL, repo=repo, since=since, until=until)
        ),
        st.none() | texts,
        moments,
        moments,
    ),
    "purge": st.builds(
        lambda age, size: lambda uow: uow.telemetry.purge(older_than=age, batch_size=size),
        spans,
        counts,
    ),
    "memory": st.builds(
        lambda repo, key: lambda uow: uow.memories.exists_for(repo, key, Outcome.ACCEPTED),
        texts,
        hostile.keys,
    ),
    "stale": st.builds(lambda model: lambda uow: uow.memories.mark_stale(model), texts),
    "repair": st.builds(
        lambda model, after, limit: (
            lambda uow: uow.knowledge.repair_candidates(model, after=after, limit=limit)
        ),
        texts,
        hostile.keys,
        counts,
    ),
    "repair_state": st.builds(lambda key: lambda uow: uow.knowledge.repair_state(key), texts),
    "clear": st.builds(lambda repo: lambda uow: uow.reactions.clear(repo), texts),
    "compatible": st.builds(
        lambda model, size: (
            lambda uow: uow.embedding_metadata.check_compatible(
                provider=model, model=model, dimensions=size
            )
        ),
        texts,
        counts,
    ),
    "agree": st.builds(
        lambda model, size: (
            lambda uow: uow.embedding_metadata.agree_on_embeddings(
                provider=model, model=model, dimensions=size
            )
        ),
        texts,
        counts,
    ),
    "set": st.builds(
        lambda model, size: (
            lambda uow: uow.embedding_metadata.set(provider=model, model=model, dimensions=size)
        ),
        texts,
        counts,
    ),
}


async def _all(streamed: Any) -> list[Any]:
    return [one.model_copy() async for one in streamed]


async def called(store: Any, call: Call) -> Any:
    async with store.unit_of_work() as uow:
        return await call(uow)


async def tenant_of(store: Any, tenant: Any) -> Any:
    async with store.unit_of_work(tenant=tenant) as uow:
        return await uow.reviews.count()


@quietly
def test_every_argument_is_answered_or_refused_alike(
    sides: Sides, effort: Effort, promises: Promises
) -> None:
    since = datetime.now(UTC) - timedelta(
        minutes=1
    )  # how embeddings are made was recorded when both sides were opened
    rows = [kind.make() for kind in KINDS]
    for store in sides.stores:
        sides.run(fill(store, rows))
    counted: Counter[bool] = Counter()

    calls = st.sampled_from(list(CALLS)).flatmap(
        lambda name: CALLS[name].map(lambda call: Drawn(name, call))
    )

    def check(drawn: Drawn) -> None:
        outcomes = sides.outcomes(
            [partial(called, store, drawn.value) for store in sides.stores], drawn.name, since
        )
        counted[isinstance(outcomes[0], Raised)] += 1

    try_all(calls, check, effort.times(60, 6_000))
    figure = (
        f"0 untyped errors of {counted.total():,} calls of {len(CALLS)} methods with hostile "
        f"arguments: {counted[True]:,} refused, "
        f"{counted[False]:,} answered, the same in the fake and in PostgreSQL"
    )
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Difference):
        # Both stores check text against the ports; without that, the server refuses it alone.
        patch.setattr(arguments, "storable", lambda text: text)
        patch.setattr(binding, "all_sendable", _any_argument)
        try_all(calls, check, 1_000, shrinks=False)
    promises(PROMISE, figure, control="a fake that accepts every argument fails the test")


async def _any_argument(_: object) -> bool:
    return True


async def fill(store: Any, rows: list[tuple[Any, ...]]) -> None:
    async with store.unit_of_work() as uow:
        for row in rows:
            await put(uow, *(one.model_copy() for one in row))
        await uow.commit()


@quietly
def test_what_can_name_no_tenant_is_refused(sides: Sides, effort: Effort) -> None:
    @seed(SEED)
    @plan(effort.times(30, 500))
    @given(
        st.one_of(texts, hostile.anything.filter(lambda value: value is not None)).map(
            lambda tenant: Drawn("tenant", tenant)
        )
    )
    def check(drawn: Drawn) -> None:
        since, tenant = datetime.now(UTC), drawn.value
        outcomes = sides.outcomes(
            [partial(tenant_of, store, tenant) for store in sides.stores], repr(drawn), since
        )
        if isinstance(tenant, str) and not (tenant.isascii() and 1 <= len(tenant) <= 100):
            assert isinstance(outcomes[0], Raised)

    check()


def flipped(bit: int) -> str:
    altered = bytearray(CURSOR.encode())
    altered[bit // 8] ^= 1 << bit % 8
    return altered.decode("latin-1")


altered: Final = st.integers(0, len(CURSOR) * 8 - 1).map(flipped)
truncated: Final = st.integers(0, len(CURSOR)).map(lambda size: CURSOR[:size])


def test_a_cursor_that_was_tampered_with_is_refused_or_another_place(
    effort: Effort, promises: Promises
) -> None:
    refused = read = 0

    @seed(SEED)
    @plan(effort.times(200, 5_000))
    @given(st.one_of(hostile.texts, altered, truncated))
    def check(text: str) -> None:
        nonlocal refused, read
        try:
            cursor = Cursor.parse(text)
        except InvalidCursor:
            refused += 1
            return
        read += 1
        try:
            cursor.require("Review", descending=False)
        except InvalidCursor:
            return
        # What is left is a place in the same listing: it can skip rows of the one who made it, and
        # nothing else.
        assert Cursor.parse(str(cursor)) == cursor

    check()
    assert refused > read
    Cursor.parse(CURSOR).require("Review", descending=False)
    promises(
        PROMISE,
        f"{refused:,} of {refused + read:,} altered cursors refused, the others name another "
        "place of the listing",
        control="the unaltered cursor is accepted",
    )
