"""How a command ends that did not do what was asked: one sentence on standard error and an exit
code, never a traceback.

::

    0    done
    1    not done; the sentence says why
    2    asked for in a way that no command understands
    70   a bug: nobody expected this exception
    130  interrupted
    143  terminated
"""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import typer
from typer.core import TyperGroup

from domain import RecollectError

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED: Final = 1
UNEXPECTED: Final = 70
TERMINATED: Final = 128 + signal.SIGTERM
DEBUG: Final = "debug"


class Commands(TyperGroup):
    """The commands of the program; whatever leaves one of them ends here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        with ending_well(debug=bool(ctx.params.get(DEBUG))):
            return super().invoke(ctx)


@contextmanager
def ending_well(*, debug: bool = False) -> Iterator[None]:
    """Turn an exception into a sentence and an exit code.

    With `debug` the traceback comes first.
    """
    previous = signal.signal(signal.SIGTERM, _terminated) if _is_main_thread() else None
    try:
        yield
    except Exception as error:
        sentence, code = _told(error)
        if sentence is None:
            raise
        if debug:
            traceback.print_exc()
        typer.echo(f"recollect: {sentence}", err=True)
        raise typer.Exit(code) from None
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)


def _told(error: Exception) -> tuple[str | None, int]:
    """Return the sentence and the exit code for an error.

    None for what the command line's own library tells.
    """
    match error:
        case RecollectError():
            return " ".join(str(error).split()), FAILED
        case BrokenPipeError():
            return None, FAILED
        case OSError() if error.errno is not None:
            reason = error.strerror or errno.errorcode.get(error.errno, "")
            return f"{error.filename}: {reason}" if error.filename else reason, FAILED
        case _ if type(error).__module__.partition(".")[0] == "typer":
            return None, FAILED
        case _:
            name = type(error).__name__
            return (
                f"this should not have happened ({name}); `recollect --debug …` shows where it did",
                UNEXPECTED,
            )


def _is_main_thread() -> bool:
    import threading

    return threading.current_thread() is threading.main_thread()


def _terminated(_: int, __: FrameType | None) -> None:
    # As an exception, so that servers are stopped and folders removed on the way out.
    sys.exit(TERMINATED)
