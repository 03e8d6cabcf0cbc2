"""The page of guarantees shows the recorded measurements."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.conftest import Effort, Promises
from tests.faults.page import figures_in, page
from tests.faults.promised import PROMISES


def test_a_recorded_figure_becomes_a_row_with_its_control_and_its_test(
    promises: Promises, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAULTS_FIGURES", str(tmp_path / "figures"))
    promises(PROMISES[-1], "1 of 1")
    promises(PROMISES[0], "0 of 5 | lost", control="4 of 5 lost without it")
    *_, first, last = page(figures_in(tmp_path / "figures")).splitlines()
    assert first.startswith(
        f"| {PROMISES[0]} | 0 of 5 \\| lost | 4 of 5 lost without it | [a recorded figure becomes"
    )
    assert first.endswith("(../../tests/faults/test_page.py) |")
    assert last.startswith(f"| {PROMISES[-1]} | 1 of 1 | – |")


def test_a_figure_of_something_that_is_not_promised_is_refused(promises: Promises) -> None:
    with pytest.raises(AssertionError, match="is not in"):
        promises("the moon is made of cheese", "1 of 1")


def test_effort_is_short_unless_everything_is_asked_for() -> None:
    assert Effort(full=False).times(10, 200) == 10
    assert Effort(full=True).times(10, 200) == 200
