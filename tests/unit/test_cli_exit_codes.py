"""A failed command ends with one sentence and an exit code, never with a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from domain import ConfigurationError, DatabaseUnavailable, EmbeddingMismatch, NotFound
from repositories.cli.app import app
from repositories.cli.exit_codes import Commands, exit_on_error, run
from repositories.cli.output import confirm_deletion, note, result, show
from repositories.cli.tables import figures_table
from repositories.cli.targets import NAMES_A_DATABASE

ROOT = Path(__file__).parents[2]
BARE_SETTINGS = dict.fromkeys(NAMES_A_DATABASE, "")


def program_that(raises: BaseException) -> typer.Typer:
    program = Commands(pretty_exceptions_enable=False)

    @program.callback()
    def common(debug: bool = False) -> None:
        """Accept the option that every command has."""

    @program.command()
    def fail() -> None:
        """Fail."""
        raise raises

    return program


def run_failing(error: BaseException, *options: str) -> tuple[int, str]:
    result = CliRunner().invoke(program_that(error), [*options, "fail"])
    assert result.stdout == ""
    return result.exit_code, result.stderr


def recollect(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, **BARE_SETTINGS, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", "repositories.cli", *arguments],
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConfigurationError("the port is not a number"), "the port is not a number"),
        (DatabaseUnavailable("no answer", host="db", port=5432), "no answer"),
        (
            EmbeddingMismatch("dimensions", recorded=1024, requested=256),
            "this database holds embeddings with dimensions 1024, not 256: use a model with as many"
            " dimensions, or another database",
        ),
        (NotFound("Review", "7"), "Review 7 does not exist"),
        (
            ImportError("cannot import name 'metadata' from 'domain' (/app/domain/__init__.py)"),
            "cannot import name 'metadata' from 'domain' (/app/domain/__init__.py): "
            "`recollect doctor` shows which packages are imported",
        ),
        (
            PermissionError(13, "Permission denied", "/somewhere/file"),
            "/somewhere/file: Permission denied",
        ),
    ],
)
def test_an_expected_failure_is_one_sentence_and_exit_code_1(
    error: Exception, sentence: str
) -> None:
    assert run_failing(error) == (1, f"recollect: {sentence}\n")


def test_an_error_while_options_are_read_ends_as_one_in_a_command_does(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["recollect", "--full", "fail"])
    program = program_that(AssertionError())

    def write(full: bool) -> None:
        if full:
            raise OSError(28, "No space left on device")

    @program.callback()
    def options(full: bool = typer.Option(False, is_eager=True, callback=write)) -> None:
        """Read the options."""

    with pytest.raises(SystemExit) as ended:
        run(program)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "recollect: No space left on device\n"


def test_a_character_that_the_output_cannot_encode_is_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding="ascii"))
    monkeypatch.setattr(sys, "argv", ["recollect", "show"])
    program = Commands(pretty_exceptions_enable=False)
    program.callback()(lambda: None)
    program.command("show")(lambda: show(figures_table("Health", [("provider", "ü …")])))
    with pytest.raises(SystemExit) as ended:
        run(program)
    sys.stdout.flush()
    assert ended.value.code == 0
    assert b"\\xfc \\u2026" in written.getvalue()


def test_a_failing_function_of_a_group_ends_as_a_command_does() -> None:
    program = Commands(pretty_exceptions_enable=False)

    @program.callback(invoke_without_command=True)
    def fail() -> None:
        """Fail."""
        raise ConfigurationError("the port is not a number")

    program.command()(lambda: None)
    result = CliRunner().invoke(program, [])
    assert (result.exit_code, result.stderr) == (1, "recollect: the port is not a number\n")


def test_the_list_of_tenants_fails_with_one_sentence() -> None:
    url = "postgresql://user:hunter2@127.0.0.1:1/x?connect_timeout=1"
    result = CliRunner().invoke(app, ["db", "tenants", "--url", url, "--connect-deadline", "0.1"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("recollect: no connection within")
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.stderr


def test_no_control_character_reaches_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;own\x07"
    result(f"embeddings of {hostile}", {}, as_json=False)
    note(f"the model is {hostile}")
    show(figures_table("Health", [("provider", hostile)]))
    with pytest.raises(typer.Exit), exit_on_error():
        raise ConfigurationError(f"no provider {hostile}")
    printed = capsys.readouterr()
    assert (printed.out + printed.err).count("]0;own") == 4
    assert "\x1b" not in printed.out + printed.err
    assert "\x07" not in printed.out + printed.err


@pytest.mark.parametrize("command", ["isolate", "release"])
def test_options_before_a_command_of_tenants_count_for_it(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://user@127.0.0.1:2/other")
    url = "postgresql://user@127.0.0.1:1/x"
    options = ["--url", url, "--connect-deadline", "0.1"]
    result = CliRunner().invoke(app, ["db", "tenants", *options, command, "acme"])
    assert result.exit_code == 1
    assert "127.0.0.1:1" in result.stderr


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import nothing_like_this", "No module named 'nothing_like_this'"),
        ("raise ValueError('hunter2')", "raises ValueError when it is imported"),
        ("def (", "raises SyntaxError when it is imported"),
    ],
)
def test_a_module_of_entities_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, problem: str
) -> None:
    module = tmp_path / "failing_entities.py"
    module.write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    result = CliRunner().invoke(app, ["--entities", module.stem, "db", "check"])
    assert result.exit_code == 2
    assert module.stem in result.stderr
    assert problem in " ".join(result.stderr.split())
    assert "hunter2" not in result.stderr


def test_a_sentence_of_several_lines_becomes_one_line() -> None:
    assert run_failing(ConfigurationError("one\n  and two")) == (1, "recollect: one and two\n")


def test_an_unexpected_exception_names_its_type_and_the_way_to_see_more() -> None:
    code, stderr = run_failing(ZeroDivisionError("division by zero"))
    assert code == 70
    assert stderr.count("\n") == 1
    assert "ZeroDivisionError" in stderr
    assert "--debug" in stderr


def test_an_unexpected_exception_repeats_nothing_that_may_be_a_secret() -> None:
    _, stderr = run_failing(ValueError("postgresql://user:hunter2@db/x"))
    assert "hunter2" not in stderr


def test_debug_shows_the_traceback_as_well() -> None:
    code, stderr = run_failing(ZeroDivisionError("division by zero"), "--debug")
    assert code == 70
    assert "Traceback (most recent call last)" in stderr
    assert stderr.rstrip().endswith("`recollect --debug …` shows where")


def test_an_interrupt_ends_silently() -> None:
    assert run_failing(KeyboardInterrupt()) == (130, "")


def test_a_declined_confirmation_is_not_reported_as_a_bug() -> None:
    code, stderr = run_failing(typer.Abort())
    assert code == 1
    assert "a bug" not in stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["db", "unknown"],
        ["db", "up", "--unknown"],
        ["search"],
        ["search", "x", "--limit", "0"],
    ],
)
def test_an_unknown_command_or_option_has_exit_code_2(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], ["db"], ["--help"], ["demo", "--help"], ["search", "--help"], ["doctor", "--help"]],
)
def test_every_command_has_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert "Usage" in result.output


@pytest.mark.parametrize(
    "command",
    [
        "up",
        "down",
        "url",
        "status",
        "migrate",
        "rollback",
        "check",
        "reset",
        "revision",
        "maintain",
    ],
)
def test_the_group_db_has_its_commands(command: str) -> None:
    assert CliRunner().invoke(app, ["db", command, "--help"]).exit_code == 0


def test_the_version_is_the_distributions(tmp_path: Path) -> None:
    finished = recollect("--version", cwd=tmp_path)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.startswith("recollect ")


def test_a_setting_that_cannot_be_read_is_one_sentence_without_its_value(tmp_path: Path) -> None:
    finished = recollect("db", "status", cwd=tmp_path, DATABASE_URL="mysql://user:hunter2@db/x")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr.startswith("recollect: DATABASE_URL must start with postgresql://")
    assert finished.stderr.count("\n") == 1
    assert "hunter2" not in finished.stderr


def test_a_database_that_does_not_answer_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://recollect@127.0.0.1:1/x")
    monkeypatch.setenv("RECOLLECT_CONNECT_DEADLINE", "0.3")
    result = CliRunner().invoke(app, ["db", "status"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("\n") == 1
    for words in ("127.0.0.1", "check DATABASE_URL", "recollect db up", "make db-up"):
        assert words in result.stderr


SLEEPING = """
import sys, time
from repositories.cli.exit_codes import exit_on_error
with exit_on_error():
    try:
        print("ready", flush=True)
        time.sleep(float(sys.argv[1]))
    finally:
        print("cleaned up", flush=True)
"""


def started(*command: str, sleep: float) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [*command, sys.executable, "-c", SLEEPING, str(sleep)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_program_that_is_ended_by_a_signal_cleans_up(number: signal.Signals, code: int) -> None:
    with started(sleep=60) as running:
        running.send_signal(number)
        assert running.communicate(timeout=30)[0] == "cleaned up\n"
        assert running.returncode == code


def test_a_program_below_nohup_continues_when_the_terminal_is_closed() -> None:
    with started("nohup", sleep=1) as running:
        running.send_signal(signal.SIGHUP)
        assert running.communicate(timeout=30)[0] == "cleaned up\n"
        assert running.returncode == 0


def test_an_interrupt_while_the_program_still_loads_ends_silently() -> None:
    program = (
        "import sys\n"
        "from repositories.cli import main\n"
        "class Interrupted:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'repositories.cli.app':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupted())\n"
        "main()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (130, "", "")


def test_without_standard_input_a_question_asks_for_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)  # as with `<&-`
    with pytest.raises(ConfigurationError, match="this deletes all rows; pass --yes to confirm"):
        confirm_deletion("all rows", yes=False)
