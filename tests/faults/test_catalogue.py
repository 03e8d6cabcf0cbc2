"""Every fault of the catalogue has a test that injects it, and the check of an error can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain import ConnectionLost, LockTimeout
from tests.faults import (
    test_catalogue_connections,
    test_catalogue_servers,
    test_catalogue_statements,
)
from tests.faults.catalogue import CATALOGUE, TESTED
from tests.faults.conftest import Promises
from tests.faults.expected import CANARY, failing

MODULES = (test_catalogue_connections, test_catalogue_servers, test_catalogue_statements)


def test_every_fault_of_the_catalogue_is_injected(promises: Promises, tmp_path: Path) -> None:
    run = {
        f"{module.__name__}.{name}"
        for module in MODULES
        for name in vars(module)
        if name.startswith("test_")
    }
    injected = {number for number, tests in TESTED.items() if tests & run}
    assert {CATALOGUE[number] for number in CATALOGUE.keys() - injected} == set()
    assert TESTED.keys() <= CATALOGUE.keys()
    faults = {number.rstrip("b") for number in CATALOGUE}
    if (disk := test_catalogue_servers.Disk.mount(tmp_path)) is None:
        injected.discard("31")
    else:
        disk.unmount()
    done = len(faults & injected)
    control = "an error of another type, of another advice, or with a value in it fails the check"
    promises(
        "Every failure has a typed error",
        f"{done} of {len(faults)} faults, with the right advice",
        control=control,
    )


def test_an_error_that_is_not_the_expected_one_is_noticed() -> None:
    lost, lock = ConnectionLost("lost"), LockTimeout(CANARY)
    for kind, again, error in (
        (LockTimeout, True, lost),
        (ConnectionLost, False, lost),
        (LockTimeout, True, lock),
    ):
        with pytest.raises(AssertionError), failing(kind, again=again):
            raise error
    with pytest.raises(OSError, match="raw"), failing(ConnectionLost, again=True):
        raise OSError("raw")
