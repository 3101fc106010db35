"""Changes over HTTP: by position and by time, paged, of one's own fans only."""

from typing import Any

import pytest

from infra.settings import Settings
from lab.bench.seed import seed
from schemas.times import SECOND_MS, render_time
from tests.api.client import CREATOR, FAN, Client, conversation, running_api

NOW = 1_767_225_600_000


async def test_a_time_tells_what_happened_later_and_what_the_views_were(api: Client) -> None:
    context = (await api.get("context")).body["data"]
    sent = context["recentMessages"][-4]["timestamp"]
    was = (await api.get("context", asOf=sent)).body["data"]
    answer = await api.get("changes", since=sent)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    found = answer.body["data"]
    kinds = [one["event"]["type"] for one in found["events"]]
    assert kinds == ["message", "message", "message", "purchase"]
    texts = [one["content"] for one in context["recentMessages"][-3:]]
    assert [one["event"].get("content") for one in found["events"]] == [*texts, None]
    assert found["more"] is False
    metrics = found["views"]["engagementMetrics"]
    assert metrics["totalRevenue"] == {
        "was": was["engagementMetrics"]["totalRevenue"],
        "is": context["engagementMetrics"]["totalRevenue"],
    }
    for name, one in metrics.items():
        assert one["was"] == was["engagementMetrics"][name]
    assert "createdAt" not in metrics
    later = (await api.get("changes", since="2100-01-01T00:00:00Z")).body["data"]
    assert later["events"] == []


async def test_pages_follow_each_other_by_position(store_settings: Settings) -> None:
    count = 1_101
    history = conversation(count, now=NOW)
    await seed(store_settings, {(CREATOR, FAN): history})
    async with running_api(store_settings) as api:
        since, pages, ids = "2000-01-01T00:00:00Z", [], []
        views: dict[str, Any] = {}
        while True:
            found = (await api.get("changes", since=since)).body["data"]
            pages.append(len(found["events"]))
            ids += [one["event"]["eventId"] for one in found["events"]]
            total = found["views"]["engagementMetrics"]["totalMessages"]
            assert total["was"] == views.get("is")
            views = total
            assert found["until"] == found["events"][-1]["position"]
            since = found["until"]
            if not found["more"]:
                break
        assert pages == [500, 500, 102]
        assert ids == [entry.event_id for entry in history]
        assert views["is"] == count
        version = (await api.get("context")).body["data"]["version"]
        assert since == version
        nothing = (await api.get("changes", since=since)).body["data"]
        assert (nothing["events"], nothing["more"], nothing["until"]) == ([], False, since)
        last = render_time(history[-1].time - SECOND_MS)
        assert len((await api.get("changes", since=last)).body["data"]["events"]) == 1


@pytest.mark.parametrize(
    "since",
    ["", "yesterday", "2026-01-01", "interactions-0", "journal-99:1", "interactions-99:1", "x-0:1"],
)
async def test_what_is_no_position_of_the_fan_and_no_time_is_refused(
    api: Client, since: str
) -> None:
    answer = await api.get("changes", since=since)
    assert answer.status == 400
    assert answer.body["error"].startswith("since: ")


async def test_there_is_nothing_of_who_is_unknown_or_another_creators(api: Client) -> None:
    since = "2026-01-01T00:00:00Z"
    assert (await api.get("changes", since=since, fanId="nobody")).status == 404
    assert (await api.get("changes", since=since, creatorId="creator_other")).status == 403
    assert (await api.get("changes")).status == 400
