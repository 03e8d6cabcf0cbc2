"""The page of databases: their methods, and the values that these return."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pydantic import BaseModel

import repositories
from domain.values import health
from repositories import backup
from repositories.backup.manifest import TableManifest
from repositories.operations.distribution import DistributedTable, Distribution
from repositories.operations.maintenance import Maintenance
from repositories.operations.tenants import TenantFigures
from repositories.operations.vector_indexes import VectorIndexHealth
from tests.docs.reference.extending import member_of, text_of
from tests.docs.reference.markdown import code, table

HEAD: Final = """\
# Database

The methods of `Database` and `FakeDatabase`, with their arguments and errors, and the values that
they return. Import both classes from `repositories`. A function that works on either takes a
`domain.DatabasePort`. This page is generated from the code by `make docs`."""

SECTIONS: Final[Sequence[tuple[str, Sequence[str]]]] = (
    ("Open a database", ("from_env", "from_url", "embedded", "open", "close", "dimensions")),
    ("Read and write", ("unit_of_work", "reader", "run", "outcome", "telemetry_recorder")),
    (
        "Change any number of rows",
        (
            "mark_memories_stale",
            "delete_stale_memories",
            "purge_telemetry",
            "purge_runs",
            "purge_authors",
            "delete_chunks",
            "clear_reactions",
            "delete_review",
        ),
    ),
    (
        "Operate it",
        (
            "migrate",
            "health",
            "pool_figures",
            "maintain",
            "drop_telemetry_before",
            "vacuum",
            "vector_index_health",
            "rebuild_index",
            "initial_load",
            "dump",
            "restore",
        ),
    ),
    ("Many tenants", ("tenants", "isolate_tenant", "release_tenant", "distribute")),
    ("Statements outside a unit of work", ("engine", "read_engine")),
)

RESULTS: Final[Sequence[type[Any]]] = (
    health.Health,
    health.Problem,
    health.PoolFigures,
    health.Cluster,
    health.ClusterNode,
    Maintenance,
    VectorIndexHealth,
    backup.Manifest,
    TableManifest,
    TenantFigures,
    Distribution,
    DistributedTable,
    repositories.RecorderFigures,
)


def page() -> str:
    """Return the page."""
    return "\n\n".join([HEAD, *_parts()]) + "\n"


def _parts() -> Iterator[str]:
    yield "## `Database`"
    yield from text_of(repositories.Database)
    for title, names in SECTIONS:
        yield f"### {title}"
        for name in names:
            yield from member_of(repositories.Database, name)
    yield "## `FakeDatabase`"
    yield from text_of(repositories.FakeDatabase)
    yield "## `TelemetryRecorder`"
    yield from text_of(repositories.TelemetryRecorder)
    for name in ("record", "offer", "flush", "figures"):
        yield from member_of(repositories.TelemetryRecorder, name)
    yield "## Results"
    for result in RESULTS:
        yield f"### {code(result.__name__)}"
        yield from text_of(result)
        yield table(("field or property", "type"), list(_fields(result)))


def _fields(result: type[Any]) -> Iterator[tuple[str, str]]:
    if issubclass(result, BaseModel):
        types = {name: result.__annotations__[name] for name in result.model_fields}
        yield from ((code(name), code(_plain(each))) for name, each in types.items())
    else:
        yield from ((code(each.name), code(each.type)) for each in dataclasses.fields(result))
    for name, member in vars(result).items():
        if isinstance(member, property) and not name.startswith("_") and member.fget is not None:
            yield code(name), code(member.fget.__annotations__["return"])


def _plain(annotation: object) -> str:
    """Return a type as it is written, without the bounds of `Annotated[type, …]`."""
    match ast.parse(str(annotation), mode="eval").body:
        case ast.Subscript(value=ast.Name(id="Annotated"), slice=ast.Tuple(elts=[kind, *_])):
            return ast.unparse(kind)
    return str(annotation)
