"""A signal handler that writes the events in memory before the signal ends the process."""

from __future__ import annotations

import asyncio
import inspect
import logging
import signal
import threading
from typing import TYPE_CHECKING, Any, Final

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta
    from types import FrameType

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_logger = logging.getLogger("recollect.recorder")


class FlushOnSignals:
    """Calls `flush` when SIGTERM or SIGINT arrives, and then passes the signal on.

    `flush` may take `grace` at most. The earlier handlers are restored before the signal is passed
    on to them. A second signal in the meantime is passed on at once. The event loop calls its own
    handlers itself, at once.
    """

    def __init__(self, flush: Callable[[], Awaitable[None]], grace: timedelta) -> None:
        self._flush = flush
        self._grace = grace.total_seconds()
        self._earlier: dict[signal.Signals, Any] = {}
        self._flushing: asyncio.Task[None] | None = None

    def install(self) -> None:
        """Replace the earlier handlers.

        Raises:
            ConfigurationError: this is not the main thread; only that can set handlers.
        """
        if threading.current_thread() is not threading.main_thread():
            raise ConfigurationError(
                "only the main thread can handle signals: enter the recorder there",
                setting="flush_on_signals",
            )
        self._loop = asyncio.get_running_loop()
        self._earlier = {number: signal.signal(number, self._caught) for number in SIGNALS}

    def restore(self) -> None:
        """Restore the earlier handlers, unless other code has replaced this one meanwhile."""
        for number, earlier in self._earlier.items():
            if signal.getsignal(number) == self._caught:
                signal.signal(number, signal.SIG_DFL if earlier is None else earlier)

    def _caught(self, number: int, _: FrameType | None) -> None:
        if self._flushing is None:
            # Wakes the loop, which may be waiting for a socket.
            self._loop.call_soon_threadsafe(self._begin, number)
        else:
            self._pass_on(number)

    def _begin(self, number: int) -> None:
        if self._flushing is None:
            self._flushing = self._loop.create_task(self._flush_and_pass_on(number))

    async def _flush_and_pass_on(self, number: int) -> None:
        try:
            async with asyncio.timeout(self._grace):
                await self._flush()
        except TimeoutError:
            _logger.warning(
                "telemetry events were not written within %g s of a signal", self._grace
            )
        finally:
            self._pass_on(number)

    def _pass_on(self, number: int) -> None:
        earlier = self._earlier[signal.Signals(number)]
        self.restore()
        if callable(earlier):
            # Raised again, the signal would reach the handlers of the event loop a second time.
            earlier(number, inspect.currentframe())
        else:
            signal.raise_signal(number)
