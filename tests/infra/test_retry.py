"""Waiting and trying again: pauses that grow within bounds, errors that end it, limits."""

import asyncio
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.retry import Backoff, outage, retried, retried_blocking, worth_saying

AT_ONCE = Backoff(0.0, 0.0)


class Flaky:
    """Fails with the given errors, one after the other, then succeeds."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.attempts = 0

    def __call__(self) -> str:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"

    async def call(self) -> str:
        return self()


@given(
    st.floats(0.001, 10),
    st.floats(0.001, 100),
    st.tuples(st.floats(0.1, 1), st.floats(1, 2)),
    st.integers(1, 10_000),
    st.floats(0, 1, exclude_max=True),
)
def test_a_pause_is_spread_within_its_bounds(
    first: float, longest: float, spread: tuple[float, float], attempt: int, u: float
) -> None:
    low, high = spread
    pause = Backoff(first, longest, low, high).seconds(attempt, lambda: u)
    doubled = min(first * 2.0 ** min(attempt - 1, 100), longest)
    slack = 1 + 1e-9
    assert min(doubled * low, longest) / slack <= pause <= min(doubled * high, longest) * slack


def test_pauses_double_up_to_the_longest() -> None:
    backoff = Backoff(0.1, 2.0)
    assert [round(backoff.seconds(n), 6) for n in range(1, 8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2, 2]


def test_in_an_outage_the_pause_is_a_quarter_at_least() -> None:
    backoff = outage(2.0)
    assert [backoff.seconds(9, lambda: 0.0), backoff.seconds(9, lambda: 1.0)] == [0.5, 2.0]


def test_ever_fewer_attempts_are_worth_saying() -> None:
    assert [n for n in range(1, 70) if worth_saying(n)] == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize("on", [OSError, (KeyError, OSError), lambda e: isinstance(e, OSError)])
async def test_it_is_tried_until_it_succeeds_and_each_failure_is_told(
    on: type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool],
) -> None:
    errors = [ConnectionError("one"), OSError("two"), ConnectionError("three")]
    operation = Flaky(*errors)
    told: list[tuple[int, BaseException]] = []
    done = await retried(
        operation.call, AT_ONCE, on=on, told=lambda attempt, error: told.append((attempt, error))
    )
    assert (done, operation.attempts) == ("done", 4)
    assert told == [(1, errors[0]), (2, errors[1]), (3, errors[2])]


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_an_error_that_no_retry_can_mend_is_raised_at_once(before: int) -> None:
    operation = Flaky(*[OSError()] * before, ValueError("wrong"), OSError())
    with pytest.raises(ValueError, match="wrong"):
        await retried(operation.call, AT_ONCE, on=OSError)
    assert operation.attempts == before + 1


@pytest.mark.parametrize("attempts_max", [1, 2, 3])
async def test_after_the_last_attempt_its_own_error_is_raised(attempts_max: int) -> None:
    operation = Flaky(*(OSError(n) for n in range(1, 5)))
    with pytest.raises(OSError) as caught:
        await retried(operation.call, AT_ONCE, on=OSError, attempts_max=attempts_max)
    assert caught.value.args == (attempts_max,)
    assert operation.attempts == attempts_max


async def test_a_deadline_ends_a_pause() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await retried(Flaky(OSError()).call, Backoff(60, 60), on=OSError)


async def test_cancelling_is_no_failure() -> None:
    operation = Flaky(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await retried(operation.call, AT_ONCE, on=BaseException)
    assert operation.attempts == 1


def test_a_thread_can_wait_as_well() -> None:
    operation = Flaky(OSError(), OSError())
    assert retried_blocking(operation, AT_ONCE, on=OSError, attempts_max=3) == "done"
    operation = Flaky(OSError(1), OSError(2), OSError(3))
    with pytest.raises(OSError) as caught:
        retried_blocking(operation, AT_ONCE, on=OSError, attempts_max=2)
    assert caught.value.args == (2,)
