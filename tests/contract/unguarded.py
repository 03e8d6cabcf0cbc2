"""Statements without the condition on the tenant: what a check has to find."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import true

from repositories.registry import LIBRARY, resolve
from repositories.sql import rows


@contextmanager
def without_the_predicate() -> Iterator[None]:
    """Build statements without the condition on the tenant inside the block.

    Statements from the block are discarded at its end.
    """
    _import_repositories()
    _forget_statements()
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("tenant_equals", "tenant_bind"):
                patch.setattr(rows, name, lambda *_: true())
            yield
    finally:
        _forget_statements()


def _import_repositories() -> None:
    # A module that is imported inside the block would keep what stands in for the condition.
    for registration in LIBRARY:
        resolve(registration.postgres.repository or registration.postgres.reader)


def _forget_statements() -> None:
    for name, module in list(sys.modules.items()):
        if name.startswith("repositories.sql"):
            for built in vars(module).values():
                if callable(forget := getattr(built, "cache_clear", None)):
                    forget()
