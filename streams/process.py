"""The process of one worker: it starts before it stops, and a stop has a deadline."""

import logging
import os
import signal
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final

import mode

log = logging.getLogger(__name__)

STOP_SECONDS_MAX: Final = 7.0
"""Then the process leaves as it is. The supervisor waits a second longer before it kills."""


class Process(mode.Worker):
    """Runs a Faust app until SIGINT or SIGTERM.

    Faust can't be stopped while it starts: a stop that overtakes the start of the consumer's
    thread waits for ever, or ends the interpreter under that thread. So a signal is obeyed once
    the app runs. Whatever stands in the way then, the process leaves after `STOP_SECONDS_MAX`:
    everything that a worker commits is one transaction, so nothing is left half done.
    """

    def __init__(self, app: Any, running: Callable[[], Awaitable[object]], **options: Any) -> None:
        super().__init__(app, override_logging=False, daemon=True, **options)
        self._running = running

    async def _stop_on_signal(self, signal: signal.Signals) -> None:
        deadline = threading.Timer(STOP_SECONDS_MAX, _leave)
        deadline.daemon = True
        deadline.start()
        await self._running()
        await super()._stop_on_signal(signal)


def _leave() -> None:
    log.warning("the worker did not stop within %g s: it leaves", STOP_SECONDS_MAX)
    logging.shutdown()
    os._exit(0)
