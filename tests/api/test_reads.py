"""GET context, engagement-score and explain: the contract's shapes, over real HTTP and stores."""

import asyncio
import math
import uuid

import asyncpg
import pytest

from api.tokens import issue_token
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.times import MINUTE_MS, render_time
from stores.cache import open_cache
from tests.api.client import CREATOR, FAN, PREFIX, Answer, Client, running_api

CONTEXT_FIELDS = {
    "": [
        "fanId", "creatorId", "recentMessages", "personalityProfile", "preferences",
        "emotionalState", "engagementMetrics", "lastInteraction", "version", "inbox",
    ],
    "inbox": ["waitingSince", "unanswered"],
    "personalityProfile": [
        "fanId", "tone", "emojiFrequency", "messageLengthPreference", "punctuationStyle",
        "preferredEmojis", "responseSpeed", "confidenceScore", "lastCalibrated",
        "interactionCount",
    ],
    "preferences": [
        "fanId", "contentPreferences", "topicInterests", "purchasePatterns",
        "communicationPreferences", "lastUpdated",
    ],
    "emotionalState": [
        "currentSentiment", "sentimentHistory", "dominantEmotions", "engagementLevel",
        "lastPositiveInteraction", "lastNegativeInteraction",
    ],
    "engagementMetrics": [
        "fanId", "creatorId", "engagementScore", "totalMessages", "totalPurchases",
        "totalRevenue", "avgResponseTimeSeconds", "lastInteraction", "createdAt", "updatedAt",
    ],
}  # fmt: skip


async def test_a_context_has_exactly_the_fields_of_the_contract_in_its_order(api: Client) -> None:
    answer = await api.get("context")
    assert answer.status == 200
    assert list(answer.body) == ["data", "correlationId", "timestamp"]
    data = answer.body["data"]
    for name, fields in CONTEXT_FIELDS.items():
        assert list(data[name] if name else data) == fields
    assert list(data["recentMessages"][0]) == [
        "id", "fanId", "creatorId", "content", "sender", "sentiment", "topics", "timestamp",
        "metadata",
    ]  # fmt: skip


async def test_a_context_holds_the_last_50_messages_oldest_first_and_the_totals(
    api: Client,
) -> None:
    data = (await api.get("context")).body["data"]
    assert [m["id"] for m in data["recentMessages"]] == [f"m{i}" for i in range(10, 60)]
    assert data["engagementMetrics"]["totalMessages"] == 60
    assert data["engagementMetrics"]["totalRevenue"] == 20.0
    assert data["personalityProfile"]["interactionCount"] == 61


async def test_the_cache_answers_the_same_as_the_database(api: Client) -> None:
    await _flush(api.settings)
    missed = await api.get("context")
    hit = await api.hit()
    for steady in ("recentMessages", "personalityProfile", "lastInteraction"):  # do not decay
        assert hit.body["data"][steady] == missed.body["data"][steady]


async def test_equal_misses_in_flight_share_one_read(api: Client) -> None:
    await _flush(api.settings)
    reads = await api.counter("memory_database_reads_total")
    shared = await api.counter("memory_database_reads_shared_total")
    postgres = await asyncpg.connect(api.settings.postgres_url)
    try:
        # Held up in Postgres, the first read is surely still in flight when another comes.
        async with postgres.transaction():
            await postgres.execute("LOCK TABLE g1.fan_state IN ACCESS EXCLUSIVE MODE")
            asking = asyncio.gather(*(api.get("context") for _ in range(20)))
            async with asyncio.timeout(api.settings.database_seconds_max - 0.5):
                while await api.counter("memory_database_reads_shared_total") == shared:
                    await asyncio.sleep(0.01)
        answers = await asking
    finally:
        await postgres.close()
    assert {answer.status for answer in answers} == {200}
    reads = await api.counter("memory_database_reads_total") - reads
    shared = await api.counter("memory_database_reads_shared_total") - shared
    assert reads < 20
    assert shared > 0


async def test_the_score_is_the_context_s(api: Client) -> None:
    context = (await api.get("context")).body["data"]
    answer = await api.get("engagement-score")
    assert answer.status == 200
    assert list(answer.body["data"]) == [
        "fanId", "creatorId", "score", "lastUpdated", "version", "percentile",
    ]  # fmt: skip
    score = answer.body["data"]["score"]
    assert math.isclose(score, context["engagementMetrics"]["engagementScore"], rel_tol=1e-6)


async def test_two_creators_never_see_each_other_s_fan(api: Client) -> None:
    theirs = await api.ask(
        "GET",
        f"{PREFIX}/context",
        params={"fanId": FAN, "creatorId": "creator_other"},
        headers={"Authorization": f"Bearer {api.token('creator_other')}"},
    )
    assert theirs.body["data"]["engagementMetrics"]["totalMessages"] == 4
    refused = await api.get("context", creatorId="creator_other")
    assert refused.status == 403
    assert refused.body["error"] == "Creator access required"


async def test_an_agency_reads_its_creators_fans_and_no_others(api: Client) -> None:
    def bearer(*creators: str) -> dict[str, str]:
        token = issue_token(api.settings, creators, "agency", 600)
        return {"Authorization": f"Bearer {token}"}

    async def ask(headers: dict[str, str], creator_id: str) -> Answer:
        asked = {"fanId": FAN, "creatorId": creator_id}
        return await api.ask("GET", f"{PREFIX}/context", params=asked, headers=headers)

    both = bearer(CREATOR, "creator_other")
    assert [(await ask(both, one)).status for one in (CREATOR, "creator_other")] == [200, 200]
    assert (await ask(both, "creator_third")).status == 403
    assert (await ask(bearer("creator_other", "creator_third"), CREATOR)).status == 403
    bulk = {"fanIds": [FAN], "creatorId": CREATOR}
    assert (await api.ask("POST", f"{PREFIX}/bulk", json=bulk, headers=both)).status == 200
    theirs = bulk | {"creatorId": "creator_third"}
    assert (await api.ask("POST", f"{PREFIX}/bulk", json=theirs, headers=both)).status == 403

    connections = "/api/webhooks/connections"
    unsaid = await api.ask("GET", connections, headers=both)
    assert (unsaid.status, unsaid.body["error"].split(":")[0]) == (400, "creatorId")
    for creator, status in ((CREATOR, 200), ("creator_third", 403)):
        params = {"creatorId": creator}
        assert (await api.ask("GET", connections, params=params, headers=both)).status == status
    assert (await api.ask("GET", connections, params={"creatorId": "creator_third"})).status == 403


async def test_an_unknown_fan_is_404(api: Client) -> None:
    for route in ("context", "engagement-score"):
        answer = await api.get(route, fanId="nobody")
        assert answer.status == 404
        assert answer.body["error"] == "Fan not found"
        assert answer.body["type"] == "NOT_FOUND"
    answer = await api.get("explain", fanId="nobody", field="engagementScore")
    assert answer.status == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x.y.z"}])
async def test_without_a_valid_token_it_is_401(api: Client, headers: dict[str, str]) -> None:
    for route in ("context", "engagement-score", "explain"):
        answer = await api.ask("GET", f"{PREFIX}/{route}", headers=headers)
        assert answer.status == 401
        assert answer.body["error"] == "Unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"fanId": ""}, "fanId"),
        ({"fanId": "  "}, "fanId"),
        ({"fanId": "x" * 256}, "fanId"),
        ({"fanId": "a\x00b"}, "fanId"),
        ({"fanId": "a\nb"}, "fanId"),
        ({"creatorId": ""}, "creatorId"),
        ({"minPosition": "nonsense"}, "minPosition"),
        ({"minPosition": "memory-updates-0:1"}, "minPosition"),
        ({"asOf": "yesterday"}, "asOf"),
        ({"asOf": "2026-01-01T00:00:00"}, "asOf"),
        ({"asOf": "2026-01-01T00:00:00 02:00"}, "asOf"),
        ({"asOf": "9999-12-31T23:59:59-23:59"}, "asOf"),
        ({"asOf": "0001-01-01T00:00:00+23:59"}, "asOf"),
    ],
)
async def test_a_bad_parameter_is_400_and_named_without_its_value(
    api: Client, params: dict[str, str], field: str
) -> None:
    answer = await api.get("context", **params)
    assert answer.status == 400
    assert answer.body["type"] == "VALIDATION_ERROR"
    assert answer.body["error"].startswith(f"{field}: ")
    value = params[field].strip()
    assert not value or value not in str(answer.body)


async def test_a_missing_or_repeated_parameter_is_400(api: Client) -> None:
    missing = await api.ask("GET", f"{PREFIX}/context", params={"creatorId": CREATOR})
    assert missing.status == 400
    assert missing.body["error"] == "fanId: is required"
    twice = await api.ask(
        "GET", f"{PREFIX}/context", params=[("fanId", "a"), ("fanId", "b"), ("creatorId", CREATOR)]
    )
    assert twice.status == 400
    assert twice.body["error"] == "fanId: must be given once"


async def test_every_answer_carries_a_correlation_id_and_keeps_the_caller_s_uuid(
    api: Client,
) -> None:
    answer = await api.get("context")
    assert answer.headers["X-Correlation-Id"] == answer.body["correlationId"]
    assert uuid.UUID(answer.body["correlationId"]).version == 4
    mine = str(uuid.uuid4())
    answer = await api.ask("GET", "/nowhere", headers={"X-Correlation-Id": mine})
    assert answer.body["correlationId"] == answer.headers["X-Correlation-Id"] == mine
    answer = await api.ask("GET", "/nowhere", headers={"X-Correlation-Id": FAN})
    assert answer.body["correlationId"] != FAN


async def test_unknown_routes_and_methods_answer_in_the_same_shape(api: Client) -> None:
    nowhere = await api.ask("GET", "/nowhere")
    assert nowhere.status == 404
    assert list(nowhere.body) == ["error", "correlationId", "details"]
    wrong = await api.ask("POST", f"{PREFIX}/context")
    assert wrong.status == 405
    assert wrong.body["error"] == "Method not allowed"
    assert "GET" in wrong.headers["Allow"]


async def test_a_read_as_of_a_past_time_knows_what_had_happened_by_then(api: Client) -> None:
    now = (await api.get("context")).body["data"]
    at = now["recentMessages"][-11]["timestamp"]
    past = await api.get("context", asOf=at)
    assert past.status == 200
    data = past.body["data"]
    assert data["recentMessages"][-1]["timestamp"] == at
    assert data["engagementMetrics"]["totalMessages"] == 50
    assert data["engagementMetrics"]["totalPurchases"] == 0
    before = await api.get("context", asOf="2001-01-01T00:00:00Z")
    assert before.status == 404


async def test_contributions_explain_the_whole_difference(api: Client) -> None:
    context = (await api.get("context")).body["data"]
    start = context["recentMessages"][20]["timestamp"]
    answer = await api.get("explain", field="engagementScore", **{"from": start})
    assert answer.status == 200
    found = answer.body["data"]
    parts = [c["contribution"] for c in found["contributions"]]
    total = math.fsum([*parts, found["others"]["contribution"], found["silence"], found["order"]])
    assert math.isclose(total, found["toValue"] - found["fromValue"], abs_tol=1e-9)
    assert found["contributions"][-1]["kind"] == "purchase"
    assert found["contributions"][-1]["contribution"] > 0


async def test_a_field_that_can_not_be_explained_is_400(api: Client) -> None:
    answer = await api.get("explain", field="fanId")
    assert answer.status == 400
    assert answer.body["error"].startswith("field: ")
    now = render_time(1_700_000_000_000)
    empty = await api.get("explain", field="totalRevenue", **{"from": now, "to": now})
    assert empty.status == 400


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"to": "9999-12-31T23:59:59-23:59"}, "to"),
        ({"from": "0001-01-01T00:00:00+23:59"}, "from"),
    ],
)
async def test_a_time_that_is_in_no_year_is_400(
    api: Client, params: dict[str, str], field: str
) -> None:
    answer = await api.get("explain", field="engagementScore", **params)
    assert answer.status == 400
    assert answer.body["error"].startswith(f"{field}: ")


async def test_the_first_and_the_last_moment_of_all_are_answered(api: Client) -> None:
    ends = {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59.999Z"}
    answer = await api.get("explain", field="totalRevenue", **ends)
    assert answer.status == 200
    assert (await api.get("context", asOf="9999-12-31T23:59:59.999Z")).status == 200
    assert (await api.get("context", asOf="0001-01-01T00:00:00Z")).status == 404


async def test_a_fan_with_more_history_than_may_be_folded_is_refused(api: Client) -> None:
    entries_max = api.settings.history_entries_max
    assert entries_max > 61  # so that the tests above were answered
    async with running_api(api.settings.model_copy(update={"history_entries_max": 60})) as small:
        answer = await small.get("explain", field="totalRevenue")
        assert answer.status == 400
        assert "more than 60" in answer.body["error"]


async def test_a_read_waits_for_a_position_and_is_answered_when_it_is_reached(
    api: Client,
) -> None:
    settings = api.settings.model_copy(update={"request_seconds_max": 30.0})
    keyring = Keyring.of(settings)
    cache = open_cache(settings, keyring)
    async with running_api(settings) as patient:
        await patient.hit()
        waiting = asyncio.create_task(patient.get("context", minPosition="interactions-0:500"))
        try:
            await asyncio.sleep(0.2)
            assert not waiting.done()
            for partition in range(settings.journal_partitions):
                await cache.adopt(1, partition, 10**6, {0: 500}, seconds=60)
            answer = await waiting
            assert answer.status == 200
        finally:
            waiting.cancel()
            await cache.close()


async def test_a_position_that_is_not_reached_in_time_is_504(api: Client) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    answer = await api.get("context", minPosition="interactions-1:12345")
    assert answer.status == 504
    assert answer.body["type"] == "TIMEOUT"
    assert loop.time() - began > 0.8


async def test_a_position_that_was_reached_long_ago_does_not_wait(api: Client) -> None:
    assert (await api.get("context", minPosition="interactions-0:0")).status == 200
    assert (await api.get("engagement-score", minPosition="interactions-0:10")).status == 200


async def test_a_past_time_before_the_oldest_minute_is_older_than_a_newer_one(
    api: Client,
) -> None:
    """The score of a silent hour falls: as-of times in the future decay, they add nothing."""
    context = (await api.get("context")).body["data"]
    soon = context["engagementMetrics"]["engagementScore"]
    later = render_time(4_000_000_000_000 - MINUTE_MS)
    future = (await api.get("context", asOf=later)).body["data"]
    assert future["engagementMetrics"]["engagementScore"] < soon
    assert future["engagementMetrics"]["totalMessages"] == 60


async def _flush(settings: Settings) -> None:
    keyring = Keyring.of(settings)
    cache = open_cache(settings, keyring)
    await cache.drop_all()
    await cache.close()
