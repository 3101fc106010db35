"""Refusals wait, as many as there is room for."""

import asyncio

from api.refusals import REFUSED_SECONDS, Refusals
from api.tokens import issue_token
from tests.api.client import CREATOR, FAN, PREFIX, Client, running_api


async def test_more_than_may_wait_are_told_at_once() -> None:
    refusals = Refusals(60.0, most=2)
    waiting = [asyncio.create_task(refusals.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert await refusals.wait() == 0.0
    waiting[0].cancel()
    await asyncio.gather(waiting[0], return_exceptions=True)
    other = asyncio.create_task(refusals.wait())
    await asyncio.sleep(0)
    assert not other.done()
    for one in (*waiting, other):
        one.cancel()


async def test_who_asks_on_beyond_its_quota_waits_for_each_refusal_and_takes_no_place(
    api: Client,
) -> None:
    """A quarter of four places is one: the loud user's refusals would have it."""
    few = {"user_requests_per_minute": 4, "requests_in_flight_max": 4}
    query = {"fanId": FAN, "creatorId": CREATOR}
    clock = asyncio.get_running_loop().time
    async with running_api(api.settings.model_copy(update=few)) as client:
        loud, calm = (
            {"Authorization": f"Bearer {issue_token(client.settings, CREATOR, user, 600)}"}
            for user in ("loud", "calm")
        )

        async def ask(headers: dict[str, str]) -> int:
            path = f"{PREFIX}/context"
            return (await client.ask("GET", path, params=query, headers=headers)).status

        while await ask(loud) == 200:
            pass
        began = clock()
        assert [await ask(loud) for _ in range(3)] == [429] * 3
        assert clock() - began >= 3 * REFUSED_SECONDS
        refused = [asyncio.create_task(ask(loud)) for _ in range(8)]
        await asyncio.sleep(REFUSED_SECONDS / 2)
        assert not any(one.done() for one in refused)
        assert await ask(calm) == 200
        assert {await one for one in refused} == {429}
