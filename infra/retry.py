"""Wait and try again: the one place that decides how often, how long after, and until when.

A pause doubles with each failure up to a bound, and is spread by chance, so that clients which
failed together do not return together:

    pause(n) = min(min(first * 2^(n-1), longest) * f, longest) seconds,  f uniform in [low, high)

The attempts themselves are tenacity's. The first one stands outside it, because tenacity's loop
costs more than a read from the cache.
"""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import tenacity

T = TypeVar("T")
Failures = type[BaseException] | tuple[type[BaseException], ...]
Told = Callable[[int, BaseException], None]
"""Told before each pause: which attempt failed (from 1), and with what."""

DOUBLINGS_MAX: Final = 30
"""2^30 times any first pause is above every bound; a float would overflow at 2^1024."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How pauses grow."""

    first_seconds: float
    longest_seconds: float
    low: float = 1.0
    high: float = 1.0

    def seconds(self, attempt: int, u: Callable[[], float] = random.random) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1); u is in [0, 1)."""
        doubled = self.first_seconds * 2.0 ** min(attempt - 1, DOUBLINGS_MAX)
        spread = self.low + (self.high - self.low) * u()
        return min(min(doubled, self.longest_seconds) * spread, self.longest_seconds)


def outage(longest_seconds: float) -> Backoff:
    """For what is tried until it succeeds: from a tenth of a second up to `longest_seconds`.

    Spread widely: every worker lost the same broker at the same moment.
    """
    return Backoff(0.1, longest_seconds, 0.25, 1.0)


def worth_saying(attempt: int) -> bool:
    """Attempts 1, 2, 4, 8 and so on: an outage of a night must not fill the log."""
    return attempt & (attempt - 1) == 0


async def retried(
    operation: Callable[[], Awaitable[T]],
    backoff: Backoff,
    *,
    on: Failures | Callable[[BaseException], bool],
    attempts_max: int | None = None,
    told: Told | None = None,
) -> T:
    """The operation's result, however many attempts that takes.

    Another attempt follows only an error that `on` names, or approves of. Raises any other error
    at once, and the last one after `attempts_max` attempts; without that limit it never gives up.
    A limit of time is the caller's `asyncio.timeout`, which ends attempts and pauses alike.
    """
    try:
        return await operation()
    except Exception as error:
        helps = _predicate(on)
        if not helps(error):
            raise
        failed = [error]

    async def again() -> T:
        if failed:
            raise failed.pop()  # the first attempt, as tenacity counts them
        return await operation()

    return await tenacity.AsyncRetrying(
        wait=lambda state: backoff.seconds(state.attempt_number),
        stop=_stop(attempts_max),
        retry=tenacity.retry_if_exception(helps),
        before_sleep=_before_sleep(told),
        reraise=True,
    )(again)


def retried_blocking(
    operation: Callable[[], T], backoff: Backoff, *, on: Failures, attempts_max: int
) -> T:
    """`retried` for a thread of one's own: it sleeps."""
    return tenacity.Retrying(
        wait=lambda state: backoff.seconds(state.attempt_number),
        stop=_stop(attempts_max),
        retry=tenacity.retry_if_exception(_predicate(on)),
        reraise=True,
    )(operation)


def _stop(attempts_max: int | None) -> tenacity.stop.stop_base:
    if attempts_max is None:
        return tenacity.stop_never
    return tenacity.stop_after_attempt(attempts_max)


def _predicate(on: Failures | Callable[[BaseException], bool]) -> Callable[[BaseException], bool]:
    if isinstance(on, type | tuple):
        return lambda error: isinstance(error, on)
    return on


def _before_sleep(told: Told | None) -> Callable[[tenacity.RetryCallState], None] | None:
    if told is None:
        return None

    def tell(state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is not None:
            told(state.attempt_number, error)

    return tell
