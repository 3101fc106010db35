"""Tasks go on when nobody waits for them, and what they raise troubles nobody else."""

import asyncio
import gc

import pytest

from infra.background import Background


async def test_a_task_goes_on_although_whoever_waited_has_hung_up() -> None:
    background: Background[int] = Background()
    go = asyncio.Event()

    async def doing() -> int:
        await go.wait()
        return 7

    task = background.begin(doing())
    waiting = asyncio.create_task(asyncio.wait_for(asyncio.shield(task), 0.01))
    with pytest.raises(TimeoutError):
        await waiting
    gc.collect()
    assert list(background) == [task]
    go.set()
    assert await task == 7
    await asyncio.sleep(0)
    assert len(background) == 0


async def test_what_nobody_waits_for_may_fail_or_be_cancelled() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, said: complaints.append(said))
    background: Background[None] = Background()

    async def failing() -> None:
        raise ValueError

    background.begin(failing())
    background.begin(asyncio.sleep(60)).cancel()
    while background:
        await asyncio.sleep(0)
    gc.collect()
    assert not complaints
