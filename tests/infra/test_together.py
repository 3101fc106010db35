"""What several ask for at once is done in one round, and nobody waits for long or for ever."""

import asyncio
from collections.abc import Sequence

import pytest

from infra.together import Together


class _Doubling:
    """Doubles numbers, when it is let go; refuses a round with a 13 in it."""

    def __init__(self) -> None:
        self.rounds: list[list[int]] = []
        self.go = asyncio.Event()

    async def __call__(self, wanted: Sequence[int]) -> list[int]:
        self.rounds.append(list(wanted))
        await self.go.wait()
        if 13 in wanted:
            raise ValueError("13")
        return [2 * one for one in wanted]


async def _asked(together: Together[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(together.ask(one)) for one in numbers]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_the_first_begins_at_once_and_the_others_go_together() -> None:
    doubling = _Doubling()
    together = Together(doubling, most=3)
    first = await _asked(together, 1)
    others = await _asked(together, 2, 3, 4, 5)
    assert doubling.rounds == [[1]]
    doubling.go.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8, 10]
    assert doubling.rounds == [[1], [2, 3, 4], [5]]
    assert await together.ask(6) == 12
    assert doubling.rounds[3:] == [[6]]


async def test_an_error_is_of_one_round_only() -> None:
    doubling = _Doubling()
    together = Together(doubling, most=2)
    (first,) = await _asked(together, 1)
    others = await _asked(together, 13, 2, 3)
    doubling.go.set()
    found = await asyncio.gather(first, *others, return_exceptions=True)
    assert [type(one) for one in found] == [int, ValueError, ValueError, int]


async def test_who_gave_up_before_the_round_has_asked_for_nothing() -> None:
    doubling = _Doubling()
    together = Together(doubling, most=9)
    (first,) = await _asked(together, 1)
    second, third = await _asked(together, 2, 3)
    second.cancel()
    first.cancel()  # its round has begun: only its answer is taken by nobody
    doubling.go.set()
    assert await third == 6
    assert doubling.rounds == [[1], [3]]


async def test_whoever_waits_at_the_end_is_told() -> None:
    doubling = _Doubling()
    together = Together(doubling, most=1)
    begun, waiting = await _asked(together, 1, 2)
    await together.close()
    for one in (begun, waiting):
        with pytest.raises(asyncio.CancelledError):
            await one


async def test_rounds_are_apart() -> None:
    loop = asyncio.get_running_loop()
    began: list[float] = []

    async def note(wanted: Sequence[int]) -> Sequence[int]:
        began.append(loop.time())
        return wanted

    together = Together(note, most=9, pause=0.05)
    await together.ask(1)
    await together.ask(2)
    assert began[1] - began[0] > 0.04  # a loop wakes up by a tick of its clock too soon
