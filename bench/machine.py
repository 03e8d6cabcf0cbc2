"""The machine of a measurement."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from sqlalchemy import text

if TYPE_CHECKING:
    from repositories import Database


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The machine and its software.

    `load` is how many processes wanted a core in the last fifteen minutes: with more than `cores`,
    latencies say too much."""

    cpu: str
    cores: int
    memory_gb: int
    load: float
    python: str
    postgresql: str
    pgvector: str
    day: str

    @classmethod
    async def of(cls, database: Database) -> Machine:
        async with database.engine.connect() as connection:
            versions = text(
                "SELECT current_setting('server_version'), extversion"
                " FROM pg_extension WHERE extname = 'vector'"
            )
            postgresql, pgvector = (await connection.execute(versions)).one()
        return cls(
            cpu=_cpu(),
            cores=os.cpu_count() or 1,
            memory_gb=round(psutil.virtual_memory().total / 2**30),
            load=round(psutil.getloadavg()[2], 1),
            python=platform.python_version(),
            postgresql=postgresql.split()[0],
            pgvector=pgvector,
            day=datetime.now(UTC).date().isoformat(),
        )

    def described(self) -> str:
        """Return it in a sentence."""
        software = f"Python {self.python}, PostgreSQL {self.postgresql}, pgvector {self.pgvector}"
        return (
            f"Measured on {self.day} on {self.cores} cores of {self.cpu}"
            f" with {self.memory_gb} GB of memory, {software}; load average {self.load}."
        )


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
