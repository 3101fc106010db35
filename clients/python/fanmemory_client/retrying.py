"""When something is tried again: pure, the clients wait.

Where it can help and can't do harm. It can't where a call only reads, says what shall be (PUT,
DELETE), or has an id by which it counts once. Nothing was done of what is answered with 429, so
that is tried again whatever it is.
"""

import random
from dataclasses import dataclass
from typing import Final

SPREAD: Final = 0.3
NOT_NOW: Final = frozenset((502, 503, 504))


@dataclass(frozen=True, slots=True)
class Policy:
    """The attempts, pauses and spread that the service itself uses."""

    attempts: int = 3
    """How often one request is sent at most."""
    pause: float = 0.1
    """Seconds of the first pause; each next is twice as long."""
    pause_max: float = 2.0
    """Seconds of the longest pause; what `Retry-After` asks for may be longer."""
    deadline: float = 10.0
    """Seconds of a request with all of its attempts and pauses."""

    def pause_after(self, attempt: int) -> float:
        """Seconds, spread, behind the attempt of that number; the first is 1."""
        pause = min(self.pause * 2.0 ** (attempt - 1), self.pause_max)
        return pause * (1 - SPREAD + 2 * SPREAD * random.random())


class Attempts:
    """Of one request."""

    def __init__(self, policy: Policy, now: float, *, repeatable: bool) -> None:
        self._policy = policy
        self._end = now + policy.deadline
        self._repeatable = repeatable
        self._made = 0

    def left(self, now: float) -> float:
        """Seconds until the deadline; above 0, so that a passed one ends the attempt at once."""
        return max(self._end - now, 0.001)

    def pause_after(
        self, now: float, status: int | None = None, retry_after: str | None = None
    ) -> float | None:
        """Seconds to wait before the next attempt; None: there is none. No `status`: no answer."""
        self._made += 1
        again = status == 429 or (self._repeatable and (status is None or status in NOT_NOW))
        if not again or self._made >= self._policy.attempts:
            return None
        pause = max(self._policy.pause_after(self._made), _seconds(retry_after))
        return pause if now + pause < self._end else None


def _seconds(retry_after: str | None) -> float:
    """The service never writes a date there."""
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else 0.0
