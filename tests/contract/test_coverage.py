"""The contract calls every method of every port."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, Protocol

import domain.ports
from domain import Repository, UnitOfWork
from repositories.fakes import FakeDatabase
from tests.conftest import DIMENSIONS
from tests.contract import suites as contract
from tests.contract import test_contract
from tests.contract.ports import (
    UNITS,
    all_operations,
    is_port,
    methods_of,
    operations,
    parts_of,
    reached,
)
from tests.contract.recording import CONTRACTS, RecordedStore, each_test

STATEFUL = Path(__file__).parents[1] / "stateful"


def all_parts(port: Any, path: str) -> set[str]:
    own = {f"{path}.{name}": part for name, part in parts_of(port)}
    return {*own}.union(*(all_parts(part, name) for name, part in own.items()))


async def called_by_the_contract() -> set[str]:
    """Run the contract on a fake until it called every operation, and return what it called."""
    called: set[str] = set()
    parts = {part for path, port in UNITS.items() for part in all_parts(port, path)}
    for test in each_test():
        await test(RecordedStore(FakeDatabase(dimensions=DIMENSIONS), parts, called))
        if called >= all_operations():
            break
    return called


async def test_the_contract_calls_every_method_of_every_port() -> None:
    called = await called_by_the_contract()
    assert all_operations() - called == set(), (
        "call these in a suite of tests/contract/suites: those of `uow` in a unit of work, those of"
        " `view` in a reader"
    )
    assert called - all_operations() == set(), "and nothing that no port has"


def test_a_method_that_the_contract_does_not_call_would_be_found() -> None:
    class Extended(UnitOfWork, Protocol):
        async def vacuum(self) -> None: ...

    assert set(operations(Extended, "uow")) - all_operations() == {"uow.vacuum"}
    assert "uow.telemetry.rate_limits.count" in all_operations()
    assert "view.knowledge.hybrid_search" in all_operations()
    assert "view.knowledge.upsert_many" not in all_operations()


def not_called_at_random(operations: set[str]) -> set[str]:
    """Return the operations of repositories that no random program of the stateful test calls."""
    programs = "".join(path.read_text() for path in STATEFUL.glob("*.py"))
    own = {
        operation.partition(".")[2]
        for operation in operations
        if operation.count(".") > 1 and operation.rpartition(".")[2] not in methods_of(Repository)
    }
    return {
        name
        for name in own
        if f"uow.{name}(" not in programs
        and f"_repairs(uow, kind).{name.rpartition('.')[2]}(" not in programs
    }


def test_the_stateful_test_calls_every_method_that_a_repository_has_of_its_own() -> None:
    assert not_called_at_random(all_operations()) == set(), (
        "add random calls of these to READS, SEARCHES or WRITES, in reads.py, searches.py or"
        " writes.py of tests/stateful"
    )
    assert not_called_at_random({"uow.authors.rename", "uow.authors.add"}) == {"authors.rename"}


def test_every_port_is_part_of_a_unit_of_work_or_a_reader() -> None:
    ports = {
        getattr(domain.ports, name)
        for name in domain.ports.__all__
        if is_port(getattr(domain.ports, name))
    }
    units = {operation for unit in UNITS.values() for operation in reached(unit)}
    searchable = {
        domain.ports.SearchableEntity,
        domain.ports.SearchableReader,
        domain.ports.SearchableRepository,
    }
    assert ports - units == {domain.ports.DatabasePort, *searchable}, (
        "a database opens the units, and an application has searchable entities"
    )


def test_every_suite_is_run_on_every_store() -> None:
    run = {
        base
        for _, case in inspect.getmembers(test_contract, inspect.isclass)
        for base in case.__bases__
    }
    assert run == set(CONTRACTS), (
        "add each suite to `__all__` of tests/contract/suites/__init__.py, and a class for it to"
        " tests/contract/test_contract.py"
    )
    modules = [
        vars(module)
        for name, module in inspect.getmembers(contract, inspect.ismodule)
        if name != "annotations"
    ]
    written = {
        value for names in modules for key, value in names.items() if key.endswith("Contract")
    }
    assert written == set(CONTRACTS), (
        "import every suite that is written in tests/contract/suites/__init__.py"
    )
