"""Calls of the driver, on the connection and in the transaction of the unit of work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from domain.errors import InvalidInput
from repositories.postgres.cancellation import run_to_completion
from repositories.postgres.connection import closed_is_lost

if TYPE_CHECKING:
    from sqlalchemy import Dialect

    from repositories.postgres.transaction import Transaction


async def dialect_of(transaction: Transaction) -> Dialect:
    """Return the SQLAlchemy dialect of the connection."""
    with transaction.guarded() as session:
        return (await session.connection()).dialect


@asynccontextmanager
async def driver_connection(transaction: Transaction) -> AsyncIterator[Any]:
    """Write added and changed entities, and yield the driver's connection for one call.

    The transaction must have executed a statement before, because only that sends BEGIN. Errors are
    raised as by any other statement, and abort the transaction.
    """
    await transaction.flush()
    with transaction.guarded() as session:
        connection = await session.connection()
        driver: Any = (await connection.get_raw_connection()).driver_connection
        try:
            with closed_is_lost(driver):
                yield driver
        except (TypeError, ValueError, OverflowError):
            raise InvalidInput("a value does not fit the type of its column") from None
        except BaseException as error:
            # SQLAlchemy does not notice the error, and would use a connection that is lost or
            # inside a COPY.
            if driver.is_closed() or not isinstance(error, Exception):
                await run_to_completion(connection.invalidate(error))
            raise


async def copy(
    transaction: Transaction,
    table: str,
    columns: Sequence[str],
    records: Iterable[Sequence[Any]],
    *,
    schema: str | None = None,
) -> None:
    """Write the records into the table by COPY, in PostgreSQL's binary format."""
    async with driver_connection(transaction) as driver:
        await driver.copy_records_to_table(
            table, records=records, columns=columns, schema_name=schema
        )
