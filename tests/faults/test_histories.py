"""The check of a history can fail."""

from __future__ import annotations

from tests.faults.histories import Anomalies, Seen, anomalies


def test_a_history_without_an_order_is_noticed() -> None:
    first, second = Seen(1, {"a": (), "b": ()}, "a"), Seen(2, {"a": (), "b": ()}, "b")
    assert anomalies([first, second], {"a": (1,), "b": (2,)}) == Anomalies(lost=0, in_cycles=2)
    assert anomalies(
        [first, Seen(2, {"a": (1,), "b": ()}, "b")], {"a": (1,), "b": (2,)}
    ) == Anomalies(lost=0, in_cycles=0)
    assert anomalies([first, Seen(2, {"a": ()}, "a")], {"a": (2,)}).lost == 1
