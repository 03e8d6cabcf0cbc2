"""Small units of work: throughput, CPU, the slowest of a hundred, and connections opened.

`python -m bench.units --json docs/explanation/measured/units.json` measures all of them in six
minutes; `--quick` measures two in half a minute.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.table import Table

from bench.clock import percentile
from bench.fixture import server
from bench.judging import table as verdict_table
from bench.machine import Machine
from bench.unit_figures import UnitFigure
from bench.unit_targets import unit_verdicts
from bench.unit_ways import ADD, GET, REPO, UNITS, Unit, Ways, ways
from domain import Review
from repositories import Database

if TYPE_CHECKING:
    from pydantic import SecretStr

TASKS: Final = (1, 16, 64)
WARM_UPS: Final = 5
REVIEWS: Final = 1_000
"""Reviews that are read and changed, many more than tasks."""


@dataclass(slots=True)
class _Blocks:
    per_second: list[float] = field(default_factory=list)
    cpu_us: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    runs: int = 0


async def measure(
    database: Database,
    url: str,
    *,
    rounds: int,
    seconds: float,
    units: Sequence[str] = UNITS,
    tasks: Sequence[int] = TASKS,
) -> list[UnitFigure]:
    """Compare the ways to do each unit of work, in blocks of `seconds` that alternate."""
    async with database.unit_of_work() as uow:
        keys = [uow.reviews.add(Review(repo=REPO, pr_number=7)).id for _ in range(REVIEWS)]
        await uow.commit()
    async with ways(database, url, keys) as compared:
        return [
            figure
            for unit in units
            for number in tasks
            for figure in await _compared(compared, unit, number, rounds=rounds, seconds=seconds)
        ]


async def _compared(
    compared: Sequence[Ways], unit: str, tasks: int, *, rounds: int, seconds: float
) -> list[UnitFigure]:
    for way in compared:
        await _warm_up(way, unit, tasks, seconds / 2)
    before = {way.name: way.opened() for way in compared}
    blocks = {way.name: _Blocks() for way in compared}
    for number in range(rounds):
        # In another order each time, so that no way always follows the same one.
        turn = number % len(compared)
        for way in (*compared[turn:], *compared[:turn]):
            # The pool checks a connection that was idle during the blocks of the other ways.
            await asyncio.gather(*(way.units[unit]() for _ in range(tasks)))
            cpu, began = time.process_time(), time.perf_counter()
            latencies = await _block(way.units[unit], tasks, seconds)
            took, cpu = time.perf_counter() - began, time.process_time() - cpu
            block = blocks[way.name]
            block.per_second.append(len(latencies) / took)
            block.cpu_us.append(cpu / len(latencies) * 1e6)
            block.p99_ms.append(percentile(latencies, 99))
            block.runs += len(latencies)
    return [
        UnitFigure(
            unit=unit,
            way=way.name,
            tasks=tasks,
            per_second=statistics.median(blocks[way.name].per_second),
            cpu_us=statistics.median(blocks[way.name].cpu_us),
            p99_ms=statistics.median(blocks[way.name].p99_ms),
            opened=way.opened() - before[way.name],
            runs=blocks[way.name].runs,
        )
        for way in compared
    ]


async def _warm_up(way: Ways, unit: str, tasks: int, seconds: float) -> None:
    """Compile the statements, and run blocks until one of them opens no connection."""
    for _ in range(WARM_UPS):
        opened = way.opened()
        await _block(way.units[unit], tasks, seconds)
        if way.opened() == opened:
            return


async def _block(unit: Unit, tasks: int, seconds: float) -> list[float]:
    """Run the unit from so many tasks, and return the milliseconds of each run."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    async def work() -> None:
        while (began := time.perf_counter()) < until:
            await unit()
            latencies.append((time.perf_counter() - began) * 1e3)

    await asyncio.gather(*(work() for _ in range(tasks)))
    return latencies


async def _measured(
    url: SecretStr, *, quick: bool, rounds: int, seconds: float
) -> tuple[list[UnitFigure], Machine]:
    # The default settings, except the place of the database.
    async with Database.from_url(url, migrate=True) as database:
        text = url.get_secret_value()
        if quick:
            figures = await measure(
                database, text, rounds=3, seconds=0.5, units=(ADD, GET), tasks=(16,)
            )
        else:
            figures = await measure(database, text, rounds=rounds, seconds=seconds)
        return figures, await Machine.of(database)


def table(figures: Sequence[UnitFigure]) -> Table:
    """Return the figures as a table for a terminal."""
    shown = Table("unit", "tasks", "way", "units/s", "CPU µs", "p99 ms", "connections opened")
    for one in figures:
        shown.add_row(
            one.unit,
            f"{one.tasks}",
            one.way,
            f"{one.per_second:,.0f}",
            f"{one.cpu_us:,.0f}",
            f"{one.p99_ms:,.1f}",
            f"{one.opened}",
        )
    return shown


def main(
    rounds: Annotated[int, typer.Option(help="Blocks of each way; the median counts.")] = 7,
    seconds: Annotated[float, typer.Option(help="Length of a block.")] = 1.0,
    quick: Annotated[bool, typer.Option("--quick", help="Measure two units only.")] = False,  # noqa: FBT002 -- an option
    output: Annotated[Path | None, typer.Option("--json", help="File for the figures.")] = None,
) -> None:
    with server() as running:
        url = running.create_database("units")
        figures, machine = asyncio.run(_measured(url, quick=quick, rounds=rounds, seconds=seconds))
    if output is not None:
        measured = {"machine": asdict(machine), "figures": [asdict(one) for one in figures]}
        text = json.dumps(measured, indent=1)
        output.write_text(f"{text}\n", encoding="utf-8")
    verdicts = list(unit_verdicts(figures))
    Console().print(table(figures), verdict_table(verdicts))
    raise typer.Exit(0 if all(verdict.met for verdict in verdicts) else 1)


if __name__ == "__main__":
    typer.run(main)
