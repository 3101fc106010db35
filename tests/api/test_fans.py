"""GET fans over HTTP: pages of a segment, a sealed cursor, and what is refused."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from api import fans
from api.tokens import issue_token
from infra.clock import now_ms
from infra.settings import Settings
from lab.bench.seed import seed
from ops.services import Endpoints
from tests import services as helpers
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client, conversation, running_api
from tests.stores.test_segments import history

OTHER = "creator_other"
FANS = 30
SUMMARY = [
    "fanId", "engagementScore", "engagementLevel", "currentSentiment", "dominantEmotions",
    "revenue", "totalRevenue", "totalMessages", "totalPurchases", "purchasePatterns",
    "lastInteraction", "version", "engagementPercentile",
]  # fmt: skip


@pytest.fixture(scope="module")
async def many(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """Remembers 30 fans and FAN of CREATOR, and two of another creator's."""
    async with helpers.fresh_database(services, template_database) as url:
        data = tmp_path_factory.mktemp("fans")
        settings = await helpers.fresh_settings(services, url, data, kafka=True)
        settings = settings.model_copy(update={"user_requests_per_minute": 0})
        known = {(CREATOR, f"fan-{number}"): history(number) for number in range(FANS)}
        theirs = {(OTHER, f"fan-{number}"): history(number) for number in range(2)}
        await seed(settings, known | theirs | {(CREATOR, FAN): conversation()})
        async with running_api(settings) as client:
            yield client


async def ask(api: Client, creator: str = CREATOR, **params: str) -> Answer:
    return await api.ask("GET", f"{PREFIX}/fans", params={"creatorId": creator} | params)


async def all_of(api: Client, **params: str) -> list[dict[str, Any]]:
    """The fans of all pages."""
    found: list[dict[str, Any]] = []
    answer = await ask(api, **params)
    moment = answer.body["data"]["asOf"]
    while True:
        assert answer.status == 200, answer.body
        assert answer.body["data"]["asOf"] == moment
        found += answer.body["data"]["fans"]
        cursor = answer.body["data"]["nextCursor"]
        if cursor is None:
            return found
        answer = await ask(api, **params, cursor=cursor)


async def test_a_page_has_the_contracts_fields_and_says_what_a_context_says(many: Client) -> None:
    answer = await ask(many, minRevenue="20", maxRevenue="20", limit="200")
    assert list(answer.body) == ["data", "correlationId", "timestamp"]
    assert list(answer.body["data"]) == ["fans", "nextCursor", "asOf"]
    assert answer.headers["Cache-Control"] == "no-store"
    (fan,) = [one for one in answer.body["data"]["fans"] if one["fanId"] == FAN]
    assert list(fan) == SUMMARY
    context = (await many.get("context")).body["data"]
    metrics, felt = context["engagementMetrics"], context["emotionalState"]
    assert fan["engagementScore"] == pytest.approx(metrics["engagementScore"], abs=1e-4)
    assert fan["engagementLevel"] == felt["engagementLevel"]
    assert fan["currentSentiment"] == felt["currentSentiment"]
    assert fan["totalRevenue"] == fan["revenue"] == 20
    assert fan["lastInteraction"] == metrics["lastInteraction"]
    assert fan["version"] == context["version"]


@pytest.mark.parametrize("sort", ["score", "revenue", "lastInteraction"])
async def test_pages_of_any_length_hold_everybody_once_in_order(many: Client, sort: str) -> None:
    whole = await all_of(many, sort=sort, limit="200")
    assert len({fan["fanId"] for fan in whole}) == FANS + 1
    for limit in ("1", "7", "31"):
        pages = await all_of(many, sort=sort, limit=limit)
        assert [fan["fanId"] for fan in pages] == [fan["fanId"] for fan in whole]
    field = {"score": "engagementScore"}.get(sort, sort)
    keys = ["" if fan[field] is None else fan[field] for fan in whole]
    assert keys == sorted(keys, reverse=True)


async def test_conditions_are_met_by_each_fan_of_the_answer(many: Client) -> None:
    everybody = await all_of(many)
    noon = sorted(fan["lastInteraction"] for fan in everybody)[FANS // 2]
    for name, value, met in (
        ("sentiment", "positive", lambda fan: fan["currentSentiment"] == "positive"),
        ("level", "low", lambda fan: fan["engagementLevel"] == "low"),
        ("minRevenue", "10.5", lambda fan: fan["revenue"] >= 10.5),
        ("maxRevenue", "0", lambda fan: fan["revenue"] <= 0),
        ("pattern", "tipper", lambda fan: "tipper" in fan["purchasePatterns"]),
        ("silentSince", noon, lambda fan: fan["lastInteraction"] < noon),
        ("activeSince", noon, lambda fan: fan["lastInteraction"] >= noon),
        ("waiting", "true", lambda fan: "waitingSince" in fan),
        ("waiting", "false", lambda fan: "unanswered" not in fan),
    ):
        found = [fan["fanId"] for fan in await all_of(many, **{name: value})]
        assert found == [fan["fanId"] for fan in everybody if met(fan)], name
        assert 0 < len(found) < len(everybody), name
    middle = sorted(fan["engagementScore"] for fan in everybody)[15]
    above = await all_of(many, minScore=f"{middle + 1e-3:.6f}")
    below = await all_of(many, maxScore=f"{middle + 1e-3:.6f}")
    assert len(above) + len(below) == len(everybody)
    travellers = await all_of(many, topic="travel")
    assert 0 < len(travellers) < len(everybody)


async def test_who_waits_longest_comes_first_and_nobody_else_comes(many: Client) -> None:
    waiting = await all_of(many, sort="waitingSince", limit="4")
    since = [fan["waitingSince"] for fan in waiting]
    assert since == sorted(since)
    assert all(fan["unanswered"] >= 1 for fan in waiting)
    expected = await all_of(many, waiting="true")
    assert {fan["fanId"] for fan in waiting} == {fan["fanId"] for fan in expected}
    first = waiting[0]
    context = (await many.get("context", fanId=first["fanId"])).body["data"]
    assert context["inbox"] == {name: first[name] for name in ("waitingSince", "unanswered")}


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"waiting": "yes"}, "waiting"),
        ({"waiting": "false", "sort": "waitingSince"}, "waiting"),
        ({"minScore": "2"}, "minScore"),
        ({"sort": "name"}, "sort"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "²"}, "limit"),
        ({"minScor": "0.5"}, "minScore"),
        ({"fanId": "fan-1"}, "$"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "x" * 10_000}, "cursor"),
        ({"cursor": "é"}, "cursor"),
        ({"cursor": base64.urlsafe_b64encode(bytes(60)).decode().rstrip("=")}, "cursor"),
    ],
)
async def test_what_can_t_be_meant_is_400_and_says_why(
    many: Client, params: dict[str, str], named: str
) -> None:
    answer = await ask(many, **params)
    assert answer.status == 400
    assert answer.body["type"] == "VALIDATION_ERROR"
    assert named in answer.body["error"]


async def test_a_cursor_is_good_for_its_own_list_alone(many: Client) -> None:
    params = {"sort": "revenue", "maxRevenue": "1000", "limit": "5"}
    first = (await ask(many, **params)).body["data"]
    cursor = first["nextCursor"]
    assert (await ask(many, **params, cursor=cursor)).status == 200
    assert (await ask(many, **(params | {"limit": "3"}), cursor=cursor)).status == 200
    for other in ({"sort": "score"}, {"maxRevenue": "1001"}, {"level": "low"}):
        answer = await ask(many, **(params | other), cursor=cursor)
        assert (answer.status, "begin again" in answer.body["error"]) == (400, True)
    for place in range(len(cursor)):
        changed = cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :]
        assert (await ask(many, **params, cursor=changed)).status == 400
    for longer in (cursor + "=", cursor + "A", " " + cursor, cursor[:-1], cursor * 2):
        assert (await ask(many, **params, cursor=longer)).status == 400
    assert FAN not in base64.urlsafe_b64decode(cursor + "==").decode("latin-1")
    # Of the other creator, by the other creator's own token.
    answer = await many.ask(
        "GET",
        f"{PREFIX}/fans",
        params={"creatorId": OTHER, "cursor": cursor} | params,
        headers={"Authorization": f"Bearer {many.token(OTHER)}"},
    )
    assert answer.status == 400


async def test_a_cursor_of_yesterday_is_400_and_says_begin_again(
    many: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = (await ask(many, limit="3")).body["data"]["nextCursor"]
    soon, late = (now_ms() + fans.CURSOR_AGE_MS_MAX + one for one in (-60_000, 60_000))
    monkeypatch.setattr("api.fans.now_ms", lambda: soon)
    assert (await ask(many, limit="3", cursor=cursor)).status == 200
    monkeypatch.setattr("api.fans.now_ms", lambda: late)
    answer = await ask(many, limit="3", cursor=cursor)
    assert (answer.status, "begin again" in answer.body["error"]) == (400, True)


async def test_nobody_sees_another_creators_fans(many: Client) -> None:
    assert (await ask(many, OTHER)).status == 403
    theirs = await many.ask(
        "GET",
        f"{PREFIX}/fans",
        params={"creatorId": OTHER},
        headers={"Authorization": f"Bearer {many.token(OTHER)}"},
    )
    assert len(theirs.body["data"]["fans"]) == 2
    assert (await many.ask("GET", f"{PREFIX}/fans")).status == 400
    assert (await ask(many, "")).status == 400
    answer = await many.ask("GET", f"{PREFIX}/fans", params={"creatorId": CREATOR}, headers={})
    assert answer.status == 401
    unread = issue_token(many.settings, CREATOR, "user_1", 600, scope="memory:write")
    bearer = {"Authorization": f"Bearer {unread}"}
    answer = await many.ask("GET", f"{PREFIX}/fans?creatorId={CREATOR}", headers=bearer)
    assert answer.status == 403


async def test_a_page_counts_like_a_bulk_read_of_as_many(many: Client) -> None:
    settings = many.settings.model_copy(update={"user_requests_per_minute": 60})
    async with running_api(settings) as api:
        statuses = [(await ask(api, limit="200")).status for _ in range(4)]
    assert statuses[:2] == [200, 200]
    assert 429 in statuses


async def test_while_fans_are_being_indexed_it_is_503_and_the_circuit_stays_closed(
    store_settings: Settings,
) -> None:
    await seed(store_settings, {(CREATOR, FAN): conversation()})
    postgres = await asyncpg.connect(store_settings.postgres_url)
    async with running_api(store_settings) as api:
        await postgres.execute("UPDATE g1.fan_state SET indexed_version = NULL")
        for _ in range(12):
            answer = await ask(api)
            assert (answer.status, answer.body["type"]) == (503, "DATABASE_ERROR")
            assert "indexed" in answer.body["error"]
            assert "Retry-After" in answer.headers
        assert (await api.get("context")).status == 200
        await postgres.execute("UPDATE g1.fan_state SET indexed_version = version")
        assert len((await ask(api)).body["data"]["fans"]) == 1
    await postgres.close()


async def test_without_the_database_there_is_no_list(many: Client) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    away = {"postgres_url": nowhere, "postgres_reader_url": nowhere}
    async with running_api(many.settings.model_copy(update=away)) as api:
        for _ in range(8):  # until its circuit is open, and then
            answer = await ask(api)
            assert (answer.status, answer.body["type"]) == (503, "DATABASE_ERROR")
