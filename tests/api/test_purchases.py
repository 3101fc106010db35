"""GET purchases over HTTP: what was paid, less what was taken back, page by page."""

from infra.settings import Settings
from lab.bench.seed import seed
from tests.api.client import CREATOR, FAN, Client, running_api
from tests.views.corrected import refund
from tests.views.interactions import NOON, message, purchase, tip

PREFIX = "/api/of-memory/purchases"


async def test_pages_hold_every_payment_with_what_was_taken_back(
    store_settings: Settings,
) -> None:
    log = [message(NOON), purchase(NOON + 1, 2_000, "video"), tip(NOON + 2, 250)]
    log.append(refund("p", 500, time=NOON + 3))
    await seed(store_settings, {(CREATOR, FAN): log, ("creator_other", FAN): log})
    async with running_api(store_settings) as api:
        answer = await api.get("purchases", limit="1")
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "no-store"
        first = answer.body["data"]
        assert first["purchases"] == [
            {
                "id": "t",
                "type": "tip",
                "amount": 2.5,
                "currency": "USD",
                "refunded": 0,
                "net": 2.5,
                "timestamp": "2024-11-12T12:00:00.002Z",
                "refunds": [],
            }
        ]
        cursor = first["nextCursor"]
        second = (await api.get("purchases", limit="1", cursor=cursor)).body["data"]
        (bought,) = second["purchases"]
        assert (bought["id"], bought["contentType"], bought["net"]) == ("p", "video", 15)
        assert bought["refunds"] == [
            {"id": "r", "amount": 5, "timestamp": "2024-11-12T12:00:00.003Z", "reason": "refund"}
        ]
        assert second["nextCursor"] is None
        await refuses_what_is_not_ours(api, cursor)


async def refuses_what_is_not_ours(api: Client, cursor: str) -> None:
    for params, named in (({"limit": "0"}, "limit"), ({"cursor": cursor[:-1]}, "cursor")):
        answer = await api.get("purchases", **params)
        assert (answer.status, answer.body["error"].split(":")[0]) == (400, named)
    of_messages = await api.get("messages", cursor=cursor)
    assert of_messages.status == 400
    theirs = {"Authorization": f"Bearer {api.token('creator_other')}"}
    params = {"creatorId": "creator_other", "fanId": FAN, "cursor": cursor}
    assert (await api.ask("GET", PREFIX, headers=theirs, params=params)).status == 400
    assert (
        await api.ask("GET", PREFIX, headers=theirs, params=params | {"creatorId": CREATOR})
    ).status == 403
    assert (await api.get("purchases", fanId="nobody")).status == 404
