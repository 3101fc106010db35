"""What follows a failed attempt: pure rules. Waiting is a row's `due`, never a sleep.

- 4 attempts at one provider; before the next ones 1, 2 and 5 s, each up to 10 % longer by chance,
  or what `Retry-After` asked for where that is longer, up to 60 s.
- Tried again: resets, timeouts, unknown hosts, 408, 429, 5xx, a malformed 200. Not: 400, 401, 403,
  404, 422. (`llm.providers.failures` says of each failure whether it can be.)
- After the last attempt, and at once for what no retry helps or while the circuit is open: the
  other provider, unless the intent forces one.
- What a filter stopped goes to a person: another provider's filter would only be another opinion.
- An invalid answer is asked for once more, at once, with what was wrong; it has been paid for.
"""

from typing import Final, Literal, NamedTuple, TypeAlias

from schemas.errors import CircuitOpen, ProviderFailed

ATTEMPTS_MAX: Final = 4
DELAYS_SECONDS: Final = (1.0, 2.0, 5.0)
JITTER: Final = 0.1
RETRY_AFTER_SECONDS_MAX: Final = 60.0
INVALID_MAX: Final = 2
"""Answers of a workflow that may be invalid: the second one ends it."""


class RetryAt(NamedTuple):
    """The same provider, this many seconds from now."""

    seconds: float


class OtherProvider(NamedTuple):
    """Another provider, now, from its first attempt on."""


class GiveUp(NamedTuple):
    """The workflow fails, with the class of the failure."""

    reason: str


class ToPerson(NamedTuple):
    """A person has to write it; `category` is what the filter found."""

    category: str


Step: TypeAlias = RetryAt | OtherProvider | GiveUp | ToPerson
OutcomeStep = Literal["again", "fail"]


def next_step(
    failure: ProviderFailed, attempt: int, jitter: float, *, other: bool = False, wait: float = 0.0
) -> Step:
    """What to do after attempt number `attempt` (from 1) at this provider.

    `jitter` is in [0, 1). `other` says that there is another provider: not forced away, not tried
    yet, and neither open, nor cooling, nor parked. `wait` is how long an open circuit stays so.
    """
    if failure.code == "content_filter":
        return ToPerson(failure.category or "other")
    if isinstance(failure, CircuitOpen):
        return OtherProvider() if other else RetryAt(max(wait, delay(attempt, jitter)))
    if failure.can_retry and attempt < ATTEMPTS_MAX:
        return RetryAt(max(delay(attempt, jitter), asked_for(failure)))
    return OtherProvider() if other else GiveUp(failure.code)


def after_invalid(invalid: int) -> OutcomeStep:
    """After that many invalid answers (from 1)."""
    return "again" if invalid < INVALID_MAX else "fail"


def delay(attempt: int, jitter: float) -> float:
    """Seconds after failed attempt number `attempt` (from 1); `jitter` is in [0, 1)."""
    base = DELAYS_SECONDS[min(attempt, len(DELAYS_SECONDS)) - 1]
    return base * (1 + JITTER * jitter)


def asked_for(failure: ProviderFailed) -> float:
    """What the provider's `Retry-After` asks for, within our bound."""
    return min(failure.retry_after or 0.0, RETRY_AFTER_SECONDS_MAX)


def cooldown(failure: ProviderFailed, attempt: int) -> float | None:
    """Seconds for which no process should ask this provider, after a 429; None after others.

    What it asked for, else the pause that this attempt makes.
    """
    if failure.code != "rate_limit":
        return None
    return max(asked_for(failure), delay(attempt, 0.0))


def parks(failure: ProviderFailed) -> bool:
    """Whether the provider refuses our key: it is not asked again until the settings change."""
    return failure.code == "auth"
