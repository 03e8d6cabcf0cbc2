"""Every command, option, target and variable that the documentation names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from repositories.cli.app import app
from repositories.cli.evaluation.command import DEFAULT, DefaultCommand
from repositories.postgres.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def typed(program: str, text: str) -> list[list[str]]:
    """Return the arguments of each call of the program in sentences and shell blocks."""
    sentences = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    lines = [
        line.removeprefix("$ ")
        for language, block in BLOCK.findall(text)
        if language in {"sh", "console"}
        for line in block.splitlines()
    ]
    commands = (" ".join(code.split()) for code in (*sentences, *lines))
    return [
        shlex.split(command, comments=True)[1:]
        for command in commands
        if command.startswith(f"{program} ")
    ]


def unknown(arguments: list[str]) -> list[str]:
    """Return what the program `recollect` would not know of its arguments."""
    command: Any = typer.main.get_command(app)
    wrong = []
    for argument in arguments:
        is_named = argument in getattr(command, "commands", ())
        if isinstance(command, DefaultCommand) and not is_named:
            command = command.commands[DEFAULT]
        options = {
            option
            for parameter in command.params
            for option in (*parameter.opts, *parameter.secondary_opts)
        }
        if argument.startswith("--"):
            wrong += [] if argument in options else [argument]
        elif hasattr(command, "commands"):
            if argument not in command.commands:
                return [*wrong, argument]
            command = command.commands[argument]
    return wrong


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_commands_that_there_are(page: Path) -> None:
    text = page.read_text()
    assert [
        (arguments, unknown(arguments))
        for arguments in typed("recollect", text)
        if unknown(arguments)
    ] == []
    assert [arguments for arguments in typed("make", text) if arguments[0] not in targets()] == []
    fields = {f"RECOLLECT_{name.upper()}" for name in Settings.model_fields}
    passwords = {f"RECOLLECT_{role}_PASSWORD" for role in ("MIGRATOR", "APPLICATION", "READER")}
    others = {
        "RECOLLECT_ENTITIES",  # modules of own entities, which commands import
        "RECOLLECT_AZURE_NODES",  # a variable of deploy/azure.sh
        "RECOLLECT_CITUS_URL",  # a cluster, on which the contract then runs as well
    }
    assert set(re.findall(r"RECOLLECT_[A-Z0-9_]+", text)) <= fields | passwords | others


def test_commands_are_found_in_the_documentation_and_wrong_ones_noticed() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    assert ["db", "restore", "monday.backup", "--replace", "--yes"] in typed("recollect", text)
    assert ["demo"] in typed("make", text)
    assert typed("recollect", "run `recollect db\nmigrate`; recollect nothing") == [
        ["db", "migrate"]
    ]
    assert unknown(["db", "migrat"]) == ["migrat"]
    assert unknown(["db", "rls", "enable", "--on"]) == ["--on"]
    assert unknown(["db", "rls", "disable"]) == []
    assert unknown(["eval", "folder", "--tune"]) == []
    assert unknown(["eval", "--tuned"]) == ["--tuned"]
