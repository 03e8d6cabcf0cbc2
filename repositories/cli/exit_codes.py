"""The exit codes, and the one sentence on standard error with which a failed command ends.

::

    0    success
    1    failure; the sentence names the cause
    2    unknown command, option or argument
    70   unexpected exception: a bug
    129  hung up: the terminal was closed
    130  interrupted
    143  terminated
"""

from __future__ import annotations

import errno
import signal
import sys
import threading
import traceback
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, Exit, TyperException

from domain.errors import RecollectError
from repositories.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FAILED: Final = 1
UNEXPECTED: Final = 70
ENDING_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
DEBUG: Final = "debug"


class Command(TyperCommand):
    """A command that ends with a sentence and an exit code if it raises."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        with exit_on_error(debug=bool(ctx.find_root().params.get(DEBUG))):
            return super().invoke(ctx)


class Group(TyperGroup):
    """A group of such commands. Its own function, which can be a command, ends like one."""

    def invoke(self, ctx: Any) -> Any:
        """Run the function of the group, and a command of it."""
        with exit_on_error(debug=bool(ctx.find_root().params.get(DEBUG))):
            return super().invoke(ctx)


class Commands(typer.Typer):
    """A group of such commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cls": Group, **options})

    def command(self, name: str | None = None, **options: Any) -> Callable[[Any], Any]:
        """Return a decorator that adds a function as a command."""
        return super().command(name, **{"cls": Command, **options})


def run(program: typer.Typer) -> None:
    """Run the program.

    An error outside of a command, such as one while help is printed, ends it like one in a command.
    """
    if isinstance(sys.stdout, TextIOWrapper):
        # A result can contain characters that the encoding of the output does not have.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with exit_on_error(debug=f"--{DEBUG}" in sys.argv):
            program()
    except Exit as ended:
        sys.exit(ended.exit_code)


@contextmanager
def exit_on_error(*, debug: bool = False) -> Iterator[None]:
    """Turn an exception into a sentence and an exit code; with `debug`, print its traceback too."""
    try:
        with _exit_on_signals():
            yield
    except Exception as error:
        if isinstance(error, Exit | Abort | TyperException):
            raise
        sentence, code = _outcome(error)
        if debug:
            traceback.print_exc()
        if sentence is not None:
            note(f"recollect: {sentence}")
        raise Exit(code) from None


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Raise SystemExit for a signal, so that servers are stopped and folders removed.

    A signal that is ignored, such as SIGHUP below `nohup`, stays ignored.
    """
    previous: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in ENDING_SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                previous[number] = signal.signal(number, _exit)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _outcome(error: Exception) -> tuple[str | None, int]:
    """Return the sentence and the exit code for an error."""
    match error:
        case RecollectError():
            return " ".join(str(error).split()), FAILED
        case BrokenPipeError():
            # The reader of the pipe, such as `head`, has enough.
            return None, FAILED
        case ImportError():
            # Such as an installation in which another distribution overwrote `domain/__init__.py`.
            return f"{error}: `recollect doctor` shows which packages are imported", FAILED
        case OSError() if error.errno is not None:
            reason = error.strerror or errno.errorcode.get(error.errno, "")
            return f"{error.filename}: {reason}" if error.filename else reason, FAILED
        case _:
            # The text of an unexpected exception can contain a secret.
            name = type(error).__name__
            return f"unexpected {name}, a bug: `recollect --debug …` shows where", UNEXPECTED


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
