"""What if: validated as a write, folded as the pipeline folds, and nothing of it is kept."""

import time
from typing import Any

import pytest

from api.tokens import issue_token
from schemas.times import render_time
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client


def event(number: int = 0, **more: Any) -> dict[str, Any]:
    """A fan's tip of 50."""
    when = render_time(int(time.time() * 1000))
    made = {"fanId": FAN, "creatorId": CREATOR, "type": "tip", "amount": 50, "timestamp": when}
    return made | {"eventId": f"w{number}"} | more


def message(number: int = 0, content: str = "I love it 😍", **more: Any) -> dict[str, Any]:
    made = event(number, type="message", content=content) | more
    del made["amount"]
    return made


@pytest.fixture(scope="module", autouse=True)
async def has_read_its_model(api: Client) -> None:
    """Half a second, which the first to ask has to wait for: longer on a busy machine."""
    await api.until(lambda: ask(api, message()), 200)


async def ask(api: Client, *events: Any, fan: str = FAN, **more: Any) -> Answer:
    body = {"creatorId": CREATOR, "fanId": fan, "events": list(events)} | more
    return await api.ask("POST", f"{PREFIX}/what-if", json=body)


async def test_the_context_is_what_it_would_be_and_stays_what_it_is(api: Client) -> None:
    before = (await api.get("context")).body["data"]
    answer = await ask(api, event(1), message(2, "so good, thank you!"), event(1))
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    after = answer.body["data"]
    assert "version" not in after
    revenue = before["engagementMetrics"]["totalRevenue"]
    assert after["engagementMetrics"]["totalRevenue"] == revenue + 50  # the same id counts once
    assert (
        after["engagementMetrics"]["engagementScore"]
        > (before["engagementMetrics"]["engagementScore"])
    )
    assert after["recentMessages"][-1]["content"] == "so good, thank you!"
    assert after["recentMessages"][-1]["sentiment"] == "positive"
    now = (await api.get("context")).body["data"]
    assert now["version"] == before["version"]
    assert now["recentMessages"] == before["recentMessages"]
    assert now["engagementMetrics"]["totalRevenue"] == revenue


async def test_a_fan_may_be_unknown_and_stays_so(api: Client) -> None:
    answer = await ask(api, message(fanId="nobody yet"), fan="nobody yet")
    assert answer.status == 200, answer.body
    assert answer.body["data"]["engagementMetrics"]["totalMessages"] == 1
    assert (await api.get("context", fanId="nobody yet")).status == 404
    nothing = event(1, type="delete", fanId="nobody yet", refersTo={"eventId": "x"})
    del nothing["amount"]
    assert (await ask(api, nothing, fan="nobody yet")).status == 404


async def test_corrections_do_what_they_do(api: Client) -> None:
    before = (await api.get("context")).body["data"]
    last = before["recentMessages"][-1]
    paid = before["engagementMetrics"]["totalRevenue"]
    unsent = event(1, type="delete", refersTo={"eventId": last["id"]})
    del unsent["amount"]
    edit = message(3, "changed", replaces="w2")
    back = event(4, type="refund", amount=20, refersTo={"eventId": "p0"})
    answer = await ask(api, unsent, message(2, "first"), edit, back)
    assert answer.status == 200, answer.body
    after = answer.body["data"]
    texts = [one["content"] for one in after["recentMessages"]]
    assert texts[-1] == "changed"
    assert last["id"] not in {one["id"] for one in after["recentMessages"]}
    assert after["engagementMetrics"]["totalRevenue"] == paid - 20


@pytest.mark.parametrize(
    ("events", "field"),
    [
        ([], "events"),
        ([event(n) for n in range(51)], "events"),
        ([event(), event(amount=-1)], "events[1].amount"),
        ([event(timestamp="2199-01-01T00:00:00Z")], "events[0].timestamp"),
        ([event(fanId="another")], "events[0].fanId"),
        ([event(creatorId="creator_other")], "events[0].creatorId"),
        ([7], "events[0]"),
        ([event(type="nothing")], "events[0].type"),
    ],
)
async def test_events_are_refused_as_writes_are(api: Client, events: Any, field: str) -> None:
    answer = await ask(api, *events)
    assert answer.status == 400
    assert answer.body["error"].startswith(f"{field}: "), answer.body


async def test_another_creators_fan_is_nobody_to_ask_about(api: Client) -> None:
    theirs = event(creatorId="creator_other")
    answer = await ask(api, theirs, creatorId="creator_other")
    assert answer.status == 403
    for body in (b"", b"[]", b"{}", b'{"creatorId":"c"', b"\xff", b"[" * 100_000):
        assert (await api.ask("POST", f"{PREFIX}/what-if", data=body)).status == 400
    token = issue_token(api.settings, CREATOR, "user_1", 600, scope="memory:write")
    answer = await api.ask(
        "POST", f"{PREFIX}/what-if", json={}, headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status == 403
