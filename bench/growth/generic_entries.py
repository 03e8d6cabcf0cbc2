"""Entries of the operations that repositories have in common."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from bench.growth.entry import NEAR, PLACES, SUM, Call, Entry, Rows
from domain import (
    EmbeddingRepair,
    RepairedEmbedding,
    where,
)
from tests.contract.suites import samples

if TYPE_CHECKING:
    from domain import FeedbackReaction, Finding
    from domain.values.filters import Filter


def _at(path: str, unit: Any) -> Any:
    return attrgetter(path)(unit)


FIELDS: Final = {"suppressions": "pattern", "patterns": "pattern_fingerprint"}


def reads(path: str) -> Iterator[Entry]:
    async def first_rows(unit: Any, _: Rows) -> int:
        stream, rows = _at(path, unit).stream(batch_size=50), 0
        async for _row in stream:
            rows += 1
            if rows == 100:
                break
        await stream.aclose()
        return rows

    yield Entry(operation=f"{path}.get", call=lambda unit, rows: _at(path, unit).get(rows[path][0]))
    yield Entry(
        operation=f"{path}.find", call=lambda unit, rows: _at(path, unit).find(rows[path][0])
    )
    yield Entry(
        operation=f"{path}.get_many", call=lambda unit, rows: _at(path, unit).get_many(rows[path])
    )
    yield Entry(operation=f"{path}.count", grows=SUM, call=lambda unit, _: _at(path, unit).count())
    yield Entry(operation=f"{path}.stream", case="first 100 rows", call=first_rows)
    field = FIELDS.get(path, "repo")
    for case, repo in PLACES.items():
        if field == "repo" or case == "absent":
            yield from _listings(path, case, where(field).equals(repo))
    yield from _listings(path, "all", None)


def _listings(path: str, case: str, condition: Filter | None) -> Iterator[Entry]:
    calls: dict[str, Call] = {
        "list": lambda unit, _: _at(path, unit).list(condition),
        "page": lambda unit, _: _at(path, unit).page(condition),
        "exists": lambda unit, _: _at(path, unit).exists(condition),
    }
    for method, call in calls.items():
        yield Entry(operation=f"{path}.{method}", case=case, call=call)


async def _child_of(uow: Any, rows: Rows, make: Callable[..., Any], path: str) -> Any:
    """Return what `make` makes of the first stored row at `path`, its parent."""
    parent = await _at(path, uow).get(rows[path][0])
    return make(parent)


def _reaction(to: Finding) -> FeedbackReaction:
    # The comments of the filled rows have reactions whose ids a new one could repeat.
    return samples.reaction(to, comment_id=10**15)


def _alone(make: Callable[[], Any]) -> Callable[[Any, Rows], Awaitable[Any]]:
    async def made(_uow: Any, _rows: Rows) -> Any:
        return make()

    return made


MAKERS: Final[Mapping[str, Callable[[Any, Rows], Awaitable[Any]]]] = {
    "suppressions": lambda uow, rows: _child_of(uow, rows, samples.suppression, "reviews"),
    "findings": lambda uow, rows: _child_of(uow, rows, samples.finding, "reviews"),
    "reactions": lambda uow, rows: _child_of(uow, rows, _reaction, "findings"),
    "knowledge": _alone(samples.chunk),
    "reviews": _alone(samples.review),
    "memories": _alone(samples.memory),
    "patterns": _alone(samples.pattern),
    "runs": _alone(samples.run),
    "checkpoints": _alone(samples.checkpoint),
    "authors": _alone(samples.author),
    "dependency_bumps": _alone(samples.bump),
    "telemetry": _alone(samples.event),
}


def writes(path: str) -> Iterator[Entry]:
    async def add(uow: Any, rows: Rows) -> None:
        _at(path, uow).add(await MAKERS[path](uow, rows))
        await uow.flush()

    async def add_many(uow: Any, rows: Rows) -> int:
        entities = [await MAKERS[path](uow, rows) for _ in range(20)]
        written: int = await _at(path, uow).add_many(entities)
        return written

    yield Entry(operation=f"{path}.add", call=add, writes=True)
    yield Entry(operation=f"{path}.add_many", call=add_many, writes=True)
    if path != "patterns":
        yield Entry(
            operation=f"{path}.delete",
            writes=True,
            call=lambda uow, rows: _at(path, uow).delete(rows[path][1]),
        )


def repairs(path: str) -> Iterator[Entry]:
    def state(model: str = "model") -> EmbeddingRepair:
        return EmbeddingRepair(corpus=path, key="job", target_model=model)

    def part(unit: Any) -> Any:
        return _at(path, unit)

    async def write(uow: Any, rows: Rows) -> int:
        vectors = [RepairedEmbedding(id=key, embedding=NEAR) for key in rows[path]]
        written: int = await part(uow).write_repaired(vectors, state("other"))
        return written

    yield from _candidates(path, "none", "model")
    yield from _candidates(path, "all", "other")
    yield Entry(operation=f"{path}.write_repaired", call=write, writes=True)
    yield Entry(operation=f"{path}.repair_state", call=lambda unit, _: part(unit).repair_state("j"))
    yield Entry(
        operation=f"{path}.save_repair_state",
        writes=True,
        call=lambda uow, _: part(uow).save_repair_state(state()),
    )


def _candidates(path: str, case: str, model: str) -> Iterator[Entry]:
    yield Entry(
        operation=f"{path}.count_repair_candidates",
        case=case,
        grows=SUM if case == "all" else None,
        call=lambda unit, _: _at(path, unit).count_repair_candidates(model),
    )
    yield Entry(
        operation=f"{path}.repair_candidates",
        case=case,
        call=lambda unit, _: _at(path, unit).repair_candidates(model),
    )
