"""The guarantees of the library under faults, in the order of the published table."""

from __future__ import annotations

from typing import Final

PROMISES: Final = (
    "An acknowledged commit survives a crash",
    "No unit of work is half applied",
    "An unknown commit is reported as unknown, and can be resolved",
    "A cancelled task leaves no running query and no lost connection",
    "The first call after a restart of the server succeeds",
    "The library recovers as soon as the server does",
    "A failover is followed to the new primary",
    "A pooler in transaction mode changes nothing",
    "Conflicts are retried until they succeed",
    "Isolation levels prevent what they promise to",
    "Bulk writes do not deadlock",
    "After a failed statement, a commit raises an error",
    "Every failure has a typed error",
    "The fake behaves like PostgreSQL",
    "A filtered search returns as many rows as match, up to the limit",
    "No query makes a search fail",
    "No bad value reaches the database",
    "Pages have no gaps and no repeats",
    "No secret and no row value appears in errors or logs",
    "No tenant sees another's rows",
    "TLS cannot be stripped or spoofed",
    "Concurrent migrators are safe",
    "A migration that is killed is completed by the next run",
    "A wrong event loop or a fork fails at once and does no harm",
    "Nothing leaks",
    "The embedded server is private",
    "A backup restores what was committed",
)
