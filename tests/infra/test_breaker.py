"""The breaker's window and single probe, the retry's schedule, the budget."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pybreaker
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.breaker import ATTEMPTS, BACKOFF, Breaker, Guard, watch, watching
from schemas.errors import (
    DatabaseUnavailable,
    FanMemoryError,
    FanNotFound,
    InvalidInput,
    SealBroken,
)
from tests.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("test", failures_max=3, window_seconds=10, reset_seconds=60, clock=clock)


def failing(error: Exception) -> Callable[[], Awaitable[Any]]:
    async def operation() -> Any:
        raise error

    return operation


async def succeed() -> str:
    return "fine"


async def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        with pytest.raises(DatabaseUnavailable):
            await breaker.call(failing(DatabaseUnavailable()))


async def test_failures_within_the_window_open_the_circuit(breaker: Breaker) -> None:
    await fail(breaker, 2)
    assert breaker.state == "CLOSED"
    await fail(breaker)
    assert breaker.state == "OPEN"
    with pytest.raises(pybreaker.CircuitBreakerError):
        await breaker.call(succeed)


async def test_failures_spread_beyond_the_window_do_not_open_it(
    breaker: Breaker, clock: Clock
) -> None:
    for _ in range(10):
        await fail(breaker)
        clock.now += 5.1
    assert breaker.state == "CLOSED"


async def test_successes_in_between_do_not_excuse_failures(breaker: Breaker) -> None:
    for _ in range(2):
        await fail(breaker)
        assert await breaker.call(succeed) == "fine"
    await fail(breaker)
    assert breaker.state == "OPEN"


@pytest.mark.parametrize("error", [InvalidInput("fanId", "x"), FanNotFound(), SealBroken()])
async def test_errors_about_the_question_are_no_failures(
    breaker: Breaker, error: FanMemoryError
) -> None:
    for _ in range(10):
        with pytest.raises(type(error)):
            await breaker.call(failing(error))
    assert breaker.stats().failures == 0
    assert breaker.state == "CLOSED"


async def test_unknown_errors_are_failures(breaker: Breaker) -> None:
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await breaker.call(failing(ZeroDivisionError()))
    assert breaker.state == "OPEN"


async def test_after_the_reset_exactly_one_of_many_calls_is_the_probe(
    breaker: Breaker, clock: Clock
) -> None:
    await fail(breaker, 3)
    clock.now += 60
    reached = 0
    gate = asyncio.Event()

    async def slow() -> str:
        nonlocal reached
        reached += 1
        await gate.wait()
        return "fine"

    calls = [asyncio.create_task(breaker.call(slow)) for _ in range(20)]
    await asyncio.sleep(0)
    assert breaker.state == "HALF_OPEN"
    gate.set()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert reached == 1
    assert outcomes.count("fine") == 1
    assert breaker.state == "CLOSED"


async def test_a_failed_probe_opens_it_for_another_whole_reset(
    breaker: Breaker, clock: Clock
) -> None:
    await fail(breaker, 3)
    clock.now += 60
    await fail(breaker)
    assert breaker.state == "OPEN"
    clock.now += 59
    with pytest.raises(pybreaker.CircuitBreakerError):
        await breaker.call(succeed)
    clock.now += 1
    assert await breaker.call(succeed) == "fine"
    assert breaker.state == "CLOSED"
    assert breaker.stats().trips == 1


async def test_a_cancelled_call_is_neither_failure_nor_success(
    breaker: Breaker, clock: Clock
) -> None:
    async def cancelled() -> None:
        call = asyncio.create_task(breaker.call(asyncio.Event().wait))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    for _ in range(5):
        await cancelled()
    assert breaker.stats().failures == 0
    await fail(breaker, 3)
    clock.now += 60
    await cancelled()
    assert breaker.state == "HALF_OPEN"  # nobody knows yet
    assert await breaker.call(succeed) == "fine"
    assert breaker.state == "CLOSED"


async def test_a_call_that_began_before_it_opened_does_not_close_or_reopen_it(
    breaker: Breaker, clock: Clock
) -> None:
    gate = asyncio.Event()

    async def straggler() -> None:
        await gate.wait()
        raise DatabaseUnavailable

    slow = asyncio.create_task(breaker.call(straggler))
    await asyncio.sleep(0)
    await fail(breaker, 3)
    clock.now += 59
    gate.set()
    with pytest.raises(DatabaseUnavailable):
        await slow
    clock.now += 1
    assert await breaker.call(succeed) == "fine"


async def test_stats_tell_counts_state_and_time_of_the_last_failure(breaker: Breaker) -> None:
    await breaker.call(succeed)
    assert breaker.stats().lastFailure is None
    await fail(breaker, 3)
    stats = breaker.stats()
    assert (stats.state, stats.failures, stats.successes, stats.trips) == ("OPEN", 3, 1, 1)
    assert stats.lastFailure is not None


async def test_listeners_hear_every_change_of_state(clock: Clock) -> None:
    heard: list[str] = []

    class Listener(pybreaker.CircuitBreakerListener):
        def state_change(self, cb: Any, old_state: Any, new_state: Any) -> None:
            heard.append(new_state.name)

    breaker = Breaker(
        "heard",
        failures_max=1,
        window_seconds=1,
        reset_seconds=1,
        clock=clock,
        listeners=[Listener()],
    )
    await fail(breaker)
    clock.now += 1
    await breaker.call(succeed)
    assert heard == ["open", "half-open", "closed"]


async def test_a_watched_circuit_closes_soon_after_the_dependency_is_back(
    breaker: Breaker,
) -> None:
    up = False

    async def ping() -> None:
        if not up:
            raise DatabaseUnavailable

    watching = asyncio.create_task(watch(breaker, ping, 0.01))
    try:
        await fail(breaker, 3)
        await asyncio.sleep(0.05)
        assert breaker.state == "OPEN"
        up = True
        async with asyncio.timeout(20):
            while breaker.state != "CLOSED":
                await asyncio.sleep(0.01)
    finally:
        watching.cancel()


async def test_without_pings_nobody_watches_and_the_first_call_after_the_reset_is_the_probe(
    breaker: Breaker, clock: Clock
) -> None:
    assert watching(breaker, succeed, 0) == []
    await fail(breaker, 3)
    assert not breaker.closed
    clock.now += 59.999
    with pytest.raises(pybreaker.CircuitBreakerError):
        await breaker.call(succeed)
    clock.now += 0.001
    assert await breaker.call(succeed) == "fine"
    assert breaker.closed
    (task,) = watching(breaker, succeed, 60)
    task.cancel()


async def test_a_ping_that_hangs_has_failed(breaker: Breaker) -> None:
    watching = asyncio.create_task(watch(breaker, asyncio.Event().wait, 0.01))
    try:
        await fail(breaker, 3)
        async with asyncio.timeout(20):
            while breaker.stats().failures <= 3:
                await asyncio.sleep(0.01)
        assert breaker.state in ("OPEN", "HALF_OPEN")
        assert not watching.done()
    finally:
        watching.cancel()


async def test_a_guarded_call_is_tried_three_times_and_counts_once() -> None:
    breaker = Breaker("test", failures_max=2, window_seconds=10, reset_seconds=60)
    guard = Guard(breaker, DatabaseUnavailable, 5)
    attempts = 0

    async def operation() -> None:
        nonlocal attempts
        attempts += 1
        raise DatabaseUnavailable

    with pytest.raises(DatabaseUnavailable):
        await guard.call(operation)
    assert attempts == ATTEMPTS
    assert guard.retries == ATTEMPTS - 1
    assert breaker.stats().failures == 1


async def test_a_second_attempt_that_succeeds_is_a_success() -> None:
    breaker = Breaker("test", failures_max=1, window_seconds=10, reset_seconds=60)
    guard = Guard(breaker, DatabaseUnavailable, 5)
    outcomes = iter([DatabaseUnavailable(), None])

    async def operation() -> str:
        error = next(outcomes)
        if error:
            raise error
        return "fine"

    assert await guard.call(operation) == "fine"
    assert breaker.stats().failures == 0


async def test_what_retrying_can_not_help_is_tried_once() -> None:
    guard = Guard(
        Breaker("test", failures_max=1, window_seconds=10, reset_seconds=60), DatabaseUnavailable, 5
    )
    attempts = 0

    async def operation() -> None:
        nonlocal attempts
        attempts += 1
        raise InvalidInput("fanId", "x")

    with pytest.raises(InvalidInput):
        await guard.call(operation)
    assert attempts == 1


async def test_a_dependency_that_hangs_fails_within_the_budget_and_opens_the_circuit() -> None:
    breaker = Breaker("test", failures_max=2, window_seconds=10, reset_seconds=60)
    guard = Guard(breaker, DatabaseUnavailable, 0.02)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await guard.call(asyncio.Event().wait)
    assert breaker.state == "OPEN"
    with pytest.raises(DatabaseUnavailable):  # at once, and in the caller's own terms
        await guard.call(succeed)


@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_pauses_double_from_100_ms_within_30_percent_and_never_exceed_2_s(
    attempt: int, u: float
) -> None:
    base = min(0.1 * 2 ** (attempt - 1), 2.0)
    assert min(base * 0.7, 2.0) <= BACKOFF.seconds(attempt, lambda: u) <= min(base * 1.3, 2.0)


def test_the_first_pauses_are_those_of_the_reference() -> None:
    assert [round(BACKOFF.seconds(n, lambda: 0.5), 6) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
