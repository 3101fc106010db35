"""Circuit breaker, retry and budget: how a read treats a dependency that may be down.

The order is breaker ( budget ( retry ( operation ) ) ):

- **retry**: `ATTEMPTS` attempts, with the pauses of `BACKOFF` between them: the public API
  contract's 100 ms doubled, ±30 %, at most 2 s (`infra.retry` has the formula).
- **budget**: all attempts and pauses together get `seconds_max`; a dependency that hangs is as
  dead as one that refuses.
- **breaker**: counts whole calls, not attempts. `failures_max` failed calls within a sliding
  window of `window_seconds` open it; while open every call is refused at once; after
  `reset_seconds` one single call is let through as the probe, and its outcome closes or reopens.

Not failures: a cancelled call (the client went away, the request's deadline passed), and those of
our own errors that trying again can't help (`InvalidInput`, `FanNotFound`, a broken seal): they
say something about the question, and the dependency did answer it.

`reset_seconds` is a minute for the database, as the public API contract says, and reads need not
fail that long: `watch` asks an open breaker's dependency every second with a harmless ping, as the
half-open probe, so that a breaker closes about a second after its dependency is back, and
no user's request has to try it. With a watch of 0 seconds there is none: then `reset_seconds`
hold to the second, and the first call after them is the probe.

pybreaker keeps the state, tells the listeners and names the error. Its `calling()` is not used: it
takes a cancelled or excluded call for a success, which would close a half-open breaker on the word
of a client that hung up; and it counts consecutive failures, not those of a window.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

import pybreaker

from infra.clock import now_ms
from infra.deadlines import Deadlines
from infra.retry import Backoff, retried
from schemas.errors import FanMemoryError

T = TypeVar("T")
Operation = Callable[[], Awaitable[T]]
State = Literal["CLOSED", "OPEN", "HALF_OPEN"]

ATTEMPTS: Final = 3
BACKOFF: Final = Backoff(0.1, 2.0, low=0.7, high=1.3)

STATES: Final[dict[str, State]] = {
    pybreaker.STATE_CLOSED: "CLOSED",
    pybreaker.STATE_OPEN: "OPEN",
    pybreaker.STATE_HALF_OPEN: "HALF_OPEN",
}
_UNCOUNTED: Final = 2**31
"""pybreaker's own count never opens it: the window does."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BreakerStats:
    """What monitoring shows of one breaker."""

    state: State
    failures: int
    """Failed calls since the start."""
    successes: int
    lastFailure: int | None  # noqa: N815 (the API contract's name)
    """ms since the epoch."""
    trips: int
    """Times it opened."""


class Breaker:
    """One dependency's circuit. Belongs to one event loop; holds no lock."""

    def __init__(
        self,
        name: str,
        *,
        failures_max: int,
        window_seconds: float,
        reset_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        listeners: Sequence[pybreaker.CircuitBreakerListener] = (),
        counts: Callable[[Exception], bool] | None = None,
    ) -> None:
        """`counts` says which errors are failures, where `counts_as_failure` does not fit."""
        self.name = name
        self._counts = counts or counts_as_failure
        self._window_seconds = window_seconds
        self._reset_seconds = reset_seconds
        self._clock = clock
        self._circuit = pybreaker.CircuitBreaker(
            fail_max=_UNCOUNTED, reset_timeout=reset_seconds, name=name, listeners=[*listeners]
        )
        self._recent: deque[float] = deque(maxlen=failures_max)
        self._opened_at = 0.0
        self._probing = False
        self.closed = True
        """The same as `state`, for those who ask at every read."""
        self._failures = self._successes = self._trips = 0
        self._last_failure: int | None = None

    @property
    def state(self) -> State:
        return STATES[self._circuit.current_state]

    @property
    def seconds_until_probe(self) -> float:
        """Until an open circuit may be tried; 0 with a closed one, 1 while it is being tried."""
        if self.closed:
            return 0.0
        if self._probing:
            return 1.0
        return max(self._opened_at + self._reset_seconds - self._clock(), 0.0)

    def stats(self) -> BreakerStats:
        return BreakerStats(
            self.state, self._failures, self._successes, self._last_failure, self._trips
        )

    async def call(self, operation: Operation[T]) -> T:
        """Run it if the circuit allows; raises `pybreaker.CircuitBreakerError` if it does not."""
        if not self.closed:
            state = self.state
            due = self._clock() - self._opened_at >= self._reset_seconds
            if self._probing or (state == "OPEN" and not due):
                raise pybreaker.CircuitBreakerError(f"The circuit of the {self.name} is open.")
            if state == "OPEN":
                self._circuit.half_open()
            return await self._probe(operation)
        try:
            result = await operation()
        except Exception as error:
            if self._counts(error):
                self._failed()
                self._count_towards_opening(error)
            raise
        self._successes += 1
        return result

    async def probe(self, ping: Operation[object]) -> None:
        """Half-open an open circuit now and let `ping` decide; with a closed one do nothing."""
        if self.state == "CLOSED" or self._probing:
            return
        self._circuit.half_open()
        try:
            await self._probe(ping)
        except Exception as error:
            if not self._counts(error):
                raise

    async def _probe(self, operation: Operation[T]) -> T:
        self._probing = True
        try:
            result = await operation()
        except Exception as error:
            if self._counts(error):
                self._failed()
                self._open()
            else:
                self._close()  # it answered, if only to say no
            raise
        finally:
            self._probing = False  # cancelled: half-open still, for the next to try
        self._successes += 1
        self._close()
        return result

    def _failed(self) -> None:
        self._failures += 1
        self._last_failure = now_ms()

    def _count_towards_opening(self, error: Exception) -> None:
        if self.state != "CLOSED":
            return  # it began before the circuit opened: old news
        now = self._clock()
        self._recent.append(now)
        full = len(self._recent) == self._recent.maxlen
        if full and now - self._recent[0] <= self._window_seconds:
            self._trips += 1
            self._open()
            reason = type(error).__name__
            log.warning("circuit opened", extra={"breaker": self.name, "reason": reason})

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._recent.clear()
        self.closed = False
        self._circuit.open()

    def _close(self) -> None:
        self.closed = True
        self._circuit.close()
        log.info("circuit closed", extra={"breaker": self.name})


class Guard:
    """breaker ( budget ( retry ( operation ) ) ) around one dependency."""

    def __init__(
        self, breaker: Breaker, unavailable: type[FanMemoryError], seconds_max: float
    ) -> None:
        """`unavailable` is raised when the circuit is open or the budget is spent."""
        self.breaker = breaker
        self.retries = 0
        """Attempts after a first one, since the start."""
        self._unavailable = unavailable
        self._deadlines = Deadlines(seconds_max)

    async def call(self, operation: Operation[T]) -> T:
        """Raises `unavailable`, or the operation's own error after the last attempt."""
        try:
            return await self.breaker.call(lambda: self._budgeted(operation))
        except pybreaker.CircuitBreakerError:
            raise self._unavailable from None

    async def _budgeted(self, operation: Operation[T]) -> T:
        try:
            with self._deadlines.limit():
                return await retried(
                    operation, BACKOFF, on=can_help, attempts_max=ATTEMPTS, told=self._count
                )
        except TimeoutError:
            raise self._unavailable from None

    def _count(self, _attempt: int, _error: BaseException) -> None:
        self.retries += 1


def watching(
    breaker: Breaker, ping: Operation[object], every_seconds: float
) -> list[asyncio.Task[None]]:
    """The task that watches it, for whoever begins it to end; with 0 seconds there is none."""
    return [asyncio.create_task(watch(breaker, ping, every_seconds))] if every_seconds else []


async def watch(breaker: Breaker, ping: Operation[object], every_seconds: float) -> None:
    """Ping the dependency of an open circuit until it answers; runs until cancelled.

    A ping that takes longer than `every_seconds` has failed.
    """

    async def bounded() -> None:
        async with asyncio.timeout(every_seconds):
            await ping()

    while True:
        await asyncio.sleep(every_seconds)
        await breaker.probe(bounded)


def counts_as_failure(error: Exception) -> bool:
    """Did the dependency fail, rather than the question?"""
    return not isinstance(error, FanMemoryError) or error.retryable


def can_help(error: BaseException) -> bool:
    """Can another attempt help?"""
    return isinstance(error, FanMemoryError) and error.retryable
