"""Every fault that is injected, by its number in the catalogue, and which tests do it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final, TypeVar

F = TypeVar("F", bound=Callable[..., object])

CATALOGUE: Final = {
    "1": "a pooled connection ends before its first use",
    "1b": "an idle connection ends, and the pool tries it first",
    "2": "a connection ends between two statements",
    "3": "a connection ends before COMMIT",
    "4": "a connection ends during a statement",
    "5": "a statement is cancelled, or takes longer than its timeout",
    "6": "waiting for a lock times out",
    "7": "a deadlock",
    "8": "a serialization failure, in a statement and at COMMIT",
    "9": "a transaction is idle for too long",
    "10": "a transaction takes too long",
    "11": "every connection of the pool is in use",
    "12": "the server does not answer a statement in time",
    "13": "a write in a read-only transaction, and on a standby",
    "14": "a serializable transaction on a standby",
    "15": "a standby's recovery is in the way",
    "16": "the reply to COMMIT is lost",
    "17": "the request to COMMIT is lost",
    "18": "the server restarts",
    "19": "the server is down, by TCP and by its socket",
    "20": "the server's main process is killed during a statement",
    "21": "another session's process is killed",
    "22": "a connection is asked for while the server starts, stops or recovers",
    "23": "the server has no connection left",
    "24": "a wrong database, user or password",
    "25": "no host is what was asked for",
    "26": "a host that swallows everything",
    "27": "a table changes under a prepared statement",
    "28": "a column is renamed",
    "29": "the extension is dropped and created again",
    "30": "a database without the extension",
    "31": "the disk is full",
    "32": "a limit of the server is reached",
    "33": "another event loop",
    "34": "two tasks in one unit of work",
    "35": "a statement after one that failed",
    "36": "a value that the driver cannot send",
    "37": "more parameters than a statement may have",
}

TESTED: Final[defaultdict[str, set[str]]] = defaultdict(set)


def injects(*numbers: str) -> Callable[[F], F]:
    """Say which faults a test injects."""

    def note(test: F) -> F:
        for number in numbers:
            TESTED[number].add(f"{test.__module__}.{getattr(test, '__name__', '')}")
        return test

    return note
