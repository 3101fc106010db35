"""What takes too long is overtaken, within bounds."""

import asyncio

import pytest

from stores.overtaking import AT_ONCE_MAX, Overtaking

FOREVER = 60.0


async def at_once() -> str:
    return "soon"


async def hang() -> str:
    await asyncio.sleep(FOREVER)
    return "late"


async def test_what_answers_in_time_is_answered_and_what_does_not_is_given_up() -> None:
    overtaking = Overtaking(0.02)
    assert await overtaking.soon(at_once) == "soon"
    assert await overtaking.soon(hang) is None
    overtaking.release()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    with pytest.raises(ZeroDivisionError):
        await overtaking.soon(fail)


async def fail() -> str:
    raise ZeroDivisionError


async def test_a_timeout_of_its_own_is_no_overtaking() -> None:
    async def times_out() -> str:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        await Overtaking(FOREVER).soon(times_out)


async def test_no_more_than_so_many_overtake_at_once_and_the_others_wait_on() -> None:
    overtaking = Overtaking(0.01)
    gate = asyncio.Event()

    async def waits() -> str:
        await gate.wait()
        return "answered after all"

    asked = [asyncio.create_task(overtaking.soon(waits)) for _ in range(AT_ONCE_MAX + 5)]
    async with asyncio.timeout(20):
        while sum(one.done() for one in asked) < AT_ONCE_MAX:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    assert sum(one.done() for one in asked) == AT_ONCE_MAX
    gate.set()
    found = await asyncio.gather(*asked)
    assert found.count(None) == AT_ONCE_MAX
    assert found.count("answered after all") == 5
    overtaking.release()
    assert await overtaking.soon(hang) is None  # the place that was given back


async def test_whoever_hangs_up_gives_the_place_back() -> None:
    overtaking = Overtaking(0.01)
    for _ in range(AT_ONCE_MAX + 1):
        assert await overtaking.soon(hang) is None
        overtaking.release()

    async def both() -> None:
        """Given up by the client in the very moment in which it is overtaken."""
        asking = asyncio.create_task(overtaking.soon(hang))
        await asyncio.sleep(0)
        (limit,) = overtaking._deadlines._running
        overtaking._deadlines._running.clear()
        assert overtaking._take()
        limit.expire()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    await both()
    assert overtaking._taken == 0


async def test_what_is_asked_again_is_bounded_and_its_failure_is_nobodys() -> None:
    overtaking = Overtaking(0.01)
    read = asyncio.create_task(hang())
    waiting = [asyncio.create_task(overtaking.sooner(hang, read)) for _ in range(AT_ONCE_MAX)]
    await asyncio.sleep(0)
    assert len(overtaking.again) == AT_ONCE_MAX
    assert await overtaking.sooner(hang, read) is None
    for task in (*waiting, *overtaking.again):
        task.cancel()
    await asyncio.gather(*waiting, *overtaking.again, return_exceptions=True)
    assert not overtaking.again
    left = asyncio.create_task(overtaking.sooner(fail, read))
    await asyncio.sleep(0)
    (failing,) = overtaking.again
    left.cancel()
    await asyncio.wait([failing])
    read.cancel()


async def test_the_first_answer_counts_and_a_read_that_failed_is_none() -> None:
    overtaking = Overtaking(0.01)
    hanging = asyncio.create_task(hang())
    assert await overtaking.sooner(at_once, hanging) == "soon"
    hanging.cancel()
    failing = asyncio.create_task(fail())
    await asyncio.wait([failing])
    assert await overtaking.sooner(at_once, failing) == "soon"
    read = asyncio.create_task(at_once())
    await asyncio.wait([read])
    assert await overtaking.sooner(hang, read) is None
    for task in overtaking.again:
        task.cancel()


async def test_with_0_seconds_nothing_is_overtaken() -> None:
    asking = asyncio.create_task(Overtaking(0).soon(hang))
    await asyncio.sleep(0.05)
    assert not asking.done()
    asking.cancel()
