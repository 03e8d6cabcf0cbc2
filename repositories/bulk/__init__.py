"""Many rows at the speed of the wire: the way that fits their number, decided from the entity's
table alone.

One row is an INSERT, more are one INSERT out of arrays, and many new ones a COPY. More than a batch
from an iterator is laid ready in a temporary table first, because writers that lock the same rows
in another order deadlock.
"""

from repositories.bulk.writing import BulkWrite

__all__ = ["BulkWrite"]
