"""What fans have paid, beside what they cost."""

from collections.abc import AsyncIterator

import pytest

from infra.postgres import open_pool
from infra.settings import Settings
from privacy.subjects import Subject
from schemas.details import Details
from stores import generations, states
from stores.earned import Earned, earned
from stores.states import StateRow
from stores.store import Store
from tests.stores.workflows import Desk
from tests.views.interactions import purchase, remember, tip
from views.state import FanState, encode


@pytest.fixture
async def desk(store_settings: Settings) -> AsyncIterator[Desk]:
    pool = await open_pool(store_settings.postgres_url)
    yield Desk(store_settings, pool)
    await pool.close()


async def remembers(desk: Desk, fan: Subject, state: FanState) -> None:
    """As projection writes it."""
    async with desk.pool.acquire() as connection:
        number = generations.require_live(await generations.live(connection)).number
        row = StateRow.of(fan, number, 1, state, encode(state))
        await states.write(connection, number, [row])


async def test_each_currency_stands_for_itself_and_nobody_elses_fan_at_all(desk: Desk) -> None:
    rich, poor, others = await desk.fan("rich"), await desk.fan("poor"), await desk.fan("x", "else")
    unknown, nobody = await desk.fan("unknown"), await desk.fan("nobody")
    yen = tip(amount=900)
    yen = type(yen)("t", "tip", yen.time, amount=900, details=Details(currency="JPY"))
    await remembers(desk, rich, remember(purchase(amount=4999), yen))
    await remembers(desk, poor, remember(purchase(amount=0)))
    await remembers(desk, nobody, FanState())
    store = Store(desk.pool, desk.keyring, desk.settings.journal_partitions)
    asked = [one.id for one in (rich, poor, others, unknown, nobody)]
    assert await earned(store, desk.pool, "creator", [*asked, b"\0" * 16], "USD") == {
        rich.id: Earned("rich", {"USD": 49.99, "JPY": 900.0}),
        poor.id: Earned("poor", {"USD": 0.0}),
        unknown.id: Earned("unknown", None),
        nobody.id: Earned("nobody", None),
    }
    assert await earned(store, desk.pool, "else", [rich.id], "USD") == {}
    assert await earned(store, desk.pool, "creator", [], "USD") == {}
