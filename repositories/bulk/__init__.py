"""Bulk writes, by the method that fits the number of rows.

One row is an INSERT, several rows are one INSERT from arrays, and many new rows are a COPY. More
than a batch from an iterator goes into a staging table first, so that rows are written in the order
of their keys: writers that lock the same rows in another order deadlock.
"""

from repositories.bulk.writing import BulkWrite

__all__ = ["BulkWrite"]
