"""What holds of `asyncio.timeout` holds of a limit; and one timer serves all."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infra.deadlines import Deadlines

FOREVER = 60.0


@asynccontextmanager
async def limited(seconds: float) -> AsyncIterator[None]:
    with Deadlines(seconds).limit():
        yield


BOTH = pytest.mark.parametrize("within", [asyncio.timeout, limited])
Within = Callable[[float], Any]


@BOTH
async def test_what_takes_too_long_is_cancelled_and_raises_timeout_error(within: Within) -> None:
    cancelled = False
    with pytest.raises(TimeoutError):
        async with within(0.02):
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                cancelled = True
                raise
    assert cancelled
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # and goes on


@BOTH
async def test_what_ends_in_time_ends_as_it_does(within: Within) -> None:
    async with within(FOREVER):
        pass
    with pytest.raises(KeyError):
        async with within(FOREVER):
            raise KeyError


@BOTH
async def test_who_is_cancelled_by_others_is_cancelled(within: Within) -> None:
    async def work() -> None:
        async with within(FOREVER):
            await asyncio.sleep(FOREVER)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@BOTH
async def test_an_error_that_comes_of_the_cancelling_is_not_hidden(within: Within) -> None:
    with pytest.raises(KeyError):
        async with within(0.01):
            try:
                await asyncio.sleep(FOREVER)
            except asyncio.CancelledError:
                raise KeyError from None


@BOTH
async def test_the_inner_of_two_ends_first(within: Within) -> None:
    async with within(FOREVER):
        with pytest.raises(TimeoutError):
            async with within(0.01):
                await asyncio.sleep(FOREVER)
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with within(0.01), within(FOREVER):
            await asyncio.sleep(FOREVER)


async def test_each_of_many_ends_at_its_own_time_and_says_so() -> None:
    deadlines = Deadlines(0.1)
    clock = asyncio.get_running_loop().time
    took = []

    async def work() -> None:
        began = clock()
        with pytest.raises(TimeoutError), deadlines.limit() as limit:
            await asyncio.sleep(FOREVER)
        assert limit.expired
        took.append(clock() - began)

    tasks = []
    for _ in range(5):
        tasks.append(asyncio.create_task(work()))
        await asyncio.sleep(0.02)
    await asyncio.gather(*tasks)
    assert min(took) >= 0.099


async def test_what_has_ended_is_forgotten_and_never_cancelled() -> None:
    deadlines = Deadlines(0.02)
    with deadlines.limit() as first:
        pass
    await asyncio.sleep(0.05)
    assert not first.expired
    with pytest.raises(TimeoutError), deadlines.limit():  # after a timer that found nothing
        await asyncio.sleep(FOREVER)


async def test_what_is_spared_when_its_time_has_come_goes_on_without_a_limit() -> None:
    spared = 0

    def never() -> bool:
        nonlocal spared
        spared += 1
        return False

    deadlines = Deadlines(0.01, never)
    with deadlines.limit():
        async with asyncio.timeout(30):
            while not spared:
                await asyncio.sleep(0.005)
    with deadlines.limit():
        pass
    assert spared == 1
