"""Creators take turns, however many requests one of them has."""

import asyncio
import os
import signal
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

from api.order import Order
from api.tokens import issue_token
from lab.bench.http import Connection, connect, get_request
from ops.services import Endpoints
from tests import services as helpers
from tests.live import seen_api_process

LOUD = 100


async def test_a_request_waits_for_few_of_others_however_many_wait() -> None:
    order, begun = Order(together=4), []

    async def ask(who: str, number: int) -> None:
        if not order.at_once():
            await order.turn(who)
        begun.append((who, number))

    loud = [asyncio.create_task(ask("loud", number)) for number in range(100)]
    quiet = [asyncio.create_task(ask(who, 0)) for who in ("quiet", "calm")]
    await asyncio.gather(*loud, *quiet)
    assert [begun.index((who, 0)) < 16 for who in ("quiet", "calm")] == [True, True]
    assert [number for who, number in begun if who == "loud"] == list(range(100))


async def test_between_two_turns_others_have_the_loop() -> None:
    order, loop = Order(together=4), asyncio.get_running_loop()
    begun, seen = 0, []

    async def ask() -> None:
        nonlocal begun
        if not order.at_once():
            await order.turn("loud")
        begun += 1

    def look() -> None:
        seen.append(begun)
        if begun < 40:
            loop.call_soon(look)

    tasks = [asyncio.create_task(ask()) for _ in range(40)]
    loop.call_soon(look)
    await asyncio.gather(*tasks)
    steps = [after - before for before, after in pairwise(seen)]
    assert max(steps) == 4


async def test_a_lone_request_waits_for_nothing() -> None:
    order = Order(together=2)
    for _ in range(3):
        assert order.at_once()
        assert order.at_once()
        assert not order.at_once()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_who_hangs_up_while_waiting_keeps_nobody() -> None:
    order = Order(together=1)
    assert order.at_once()
    gone = [asyncio.create_task(order.turn("gone")) for _ in range(50)]
    await asyncio.sleep(0)
    for one in gone[1:]:
        one.cancel()
    async with asyncio.timeout(5):
        await order.turn("gone")
        await order.turn("here")


async def test_who_asks_once_is_answered_before_who_asks_a_hundred_times(
    services: Endpoints, template_database: str, tmp_path: Path
) -> None:
    """All of it is there at the same moment: the process is stopped while it is sent."""
    answered: list[str] = []
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, tmp_path, kafka=True)
        async with seen_api_process(settings, tmp_path) as (address, pid):
            where = urlsplit(address)
            connections = await connect(where.hostname or "", where.port or 0, LOUD + 1)

            async def ask(connection: Connection, who: str) -> None:
                token = issue_token(settings, who, who, 600)
                # Refused for want of a fan: answered where it begins, without waiting for a store.
                path = f"/api/of-memory/context?creatorId={who}"
                await connection.ask(get_request(path, token, "h"))
                answered.append(who)

            *loud, quiet = connections
            await asyncio.gather(*(ask(*one) for one in ((quiet, "quiet"), (loud[0], "loud"))))
            answered.clear()
            os.kill(pid, signal.SIGSTOP)
            asked = [asyncio.create_task(ask(one, "loud")) for one in loud]
            await asyncio.sleep(0.2)
            asked.append(asyncio.create_task(ask(quiet, "quiet")))
            await asyncio.sleep(0.2)
            os.kill(pid, signal.SIGCONT)
            await asyncio.gather(*asked)
            for one in connections:
                one.close()
    assert answered.count("loud") == LOUD
    assert answered.index("quiet") < LOUD / 2
