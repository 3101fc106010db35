"""Reading one's own write over HTTP, by its position or by nothing at all."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from admin.rebuild import drop_former, rebuild
from ops.services import Endpoints
from tests.api.client import PREFIX, Answer, Client, running_api
from tests.pipeline import Event, Pipeline, fresh_pipeline, message

PENDING = "X-Memory-Pending"
PATIENT = {"own_write_seconds_max": 30.0, "request_seconds_max": 60.0}
"""A busy machine may take longer than 300 ms for what takes 20."""


@pytest.fixture(scope="module")
async def pipeline(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    folder = tmp_path_factory.mktemp("own-writes")
    async with fresh_pipeline(services, template_database, folder, **PATIENT) as made:
        made.start_worker()
        await made.claimed()
        await made.vouched()
        yield made


async def ask(api: Client, method: str, route: str, **more: Any) -> Answer:
    headers = {"Authorization": f"Bearer {api.token('creator')}"}
    return await api.ask(method, f"{PREFIX}/{route}", headers=headers, **more)


async def save(api: Client, event: Event) -> str:
    posted = await ask(api, "POST", "interaction", json=event)
    assert posted.status == 200, posted.body
    return str(posted.body["position"])


async def get(api: Client, route: str, fan: str, **more: str) -> Answer:
    asked = {"creatorId": "creator", "fanId": fan} | more
    return await ask(api, "GET", route, params=asked)


async def test_whoever_saves_and_then_asks_gets_the_new_memory_without_knowing_how(
    pipeline: Pipeline,
) -> None:
    """As the public API contract's client does: it names no position."""
    async with running_api(pipeline.settings) as api:
        scores, versions = [], []
        for number in range(8):
            await save(api, message("fan", number))
            answer = await get(api, "engagement-score", "fan")
            assert (answer.status, PENDING in answer.headers) == (200, False), answer.body
            scores.append(answer.body["data"]["score"])
            versions.append(answer.body["data"]["version"])
            context = (await get(api, "context", "fan")).body["data"]
            assert context["engagementMetrics"]["totalMessages"] == number + 1
            if number % 4 == 2:
                await what_would_be_stands_on_what_was_just_written(api, number)
            if number == 3:
                await until_cached(api)
        assert scores == sorted(set(scores)), "each message moves the score"
        assert len(set(versions)) == len(versions)
        await several_at_once(api)


async def what_would_be_stands_on_what_was_just_written(api: Client, number: int) -> None:
    fan = f"asked-of-{number}"
    body = {"creatorId": "creator", "fanId": fan, "events": [message(fan, 1)]}
    await save(api, message(fan, 0))
    answer = await ask(api, "POST", "what-if", json=body)
    assert answer.status == 200, answer.body
    assert answer.body["data"]["engagementMetrics"]["totalMessages"] == 2


async def until_cached(api: Client) -> None:
    """The first half finds a fan who may be cold, the second one who is cached."""
    hits = await api.counter("memory_cache_hits_total")
    while await api.counter("memory_cache_hits_total") == hits:
        await get(api, "engagement-score", "fan")


async def several_at_once(api: Client) -> None:
    events = [message(f"of-many-{number % 5}", 100 + number) for number in range(20)]
    events += [message("fan", 200)]
    posted = await ask(api, "POST", "interactions", json=events)
    assert posted.body["accepted"] == 21
    fans = sorted({event["fanId"] for event in events})
    body = (await ask(api, "POST", "bulk", json={"creatorId": "creator", "fanIds": fans})).body
    messages = {fan: len(one["recentMessages"]) for fan, one in body["data"].items()}
    assert messages == {"fan": 9} | {f"of-many-{number}": 4 for number in range(5)}
    assert "pending" not in body


async def test_what_takes_too_long_is_not_waited_for_and_said(pipeline: Pipeline) -> None:
    hasty = pipeline.settings.model_copy(update={"own_write_seconds_max": 0.05})
    async with running_api(pipeline.settings) as api, running_api(hasty) as hurried:
        await save(api, message("slow", 301))
        version = (await get(api, "context", "slow")).body["data"]["version"]
        (worker,) = pipeline.workers
        worker.signal(signal.SIGSTOP)
        try:
            await unseen(hurried, version)
            position = await save(api, message("slow", 305))
        finally:
            worker.signal(signal.SIGCONT)
        answer = await get(api, "context", "slow", minPosition=position)
        assert PENDING not in answer.headers
        assert len(answer.body["data"]["recentMessages"]) == 4


async def unseen(api: Client, version: str) -> None:
    for number, route in ((302, "context"), (303, "engagement-score")):
        position = await save(api, message("slow", number))
        answer = await get(api, route, "slow")
        assert (answer.status, answer.headers[PENDING]) == (200, position)
        assert answer.body["data"]["version"] == version
        eventual = await get(api, route, "slow", consistency="eventual")
        assert (eventual.status, PENDING in eventual.headers) == (200, False)
    stranger = await save(api, message("stranger", 304))
    unknown = await get(api, "context", "stranger")
    assert (unknown.status, unknown.headers[PENDING]) == (404, stranger)
    asked = {"creatorId": "creator", "fanIds": ["slow", "stranger"]}
    body = (await ask(api, "POST", "bulk", json=asked)).body
    assert body["pending"] == {"slow": position, "stranger": stranger}
    assert (list(body["data"]), body["notFound"]) == (["slow"], ["stranger"])
    body = (await ask(api, "POST", "bulk?consistency=eventual", json=asked)).body
    assert "pending" not in body


async def test_another_word_for_consistency_is_refused(pipeline: Pipeline) -> None:
    async with running_api(pipeline.settings) as api:
        answers = await asyncio.gather(
            get(api, "context", "fan", consistency="strong"),
            get(api, "engagement-score", "fan", consistency=""),
            ask(api, "POST", "bulk?consistency=1", json={"creatorId": "creator", "fanIds": ["a"]}),
        )
        for answer in answers:
            assert answer.status == 400
            assert answer.body["error"] == "consistency: must be own-writes or eventual"


async def read_back(api: Client, number: int) -> None:
    """Write for a fan of whom nobody has read yet, and read it with nothing but its position."""
    position = await save(api, message(f"fan{number}", number))
    for route in ("context", "engagement-score"):
        answer = await get(api, route, f"fan{number}", minPosition=position)
        assert answer.status == 200, (number, answer.body)


async def test_a_process_that_never_missed_follows_a_switch_and_a_drop(pipeline: Pipeline) -> None:
    async with running_api(pipeline.settings) as api:
        await read_back(api, 1)
        await rebuild(pipeline.settings, processes=1)
        await read_back(api, 2)
        await rebuild(pipeline.settings, processes=1)
        assert await drop_former(pipeline.settings)
        await read_back(api, 3)


async def test_what_if_says_what_then_is_and_changes_what_was(pipeline: Pipeline) -> None:
    async with running_api(pipeline.settings) as api:
        await save(api, message("asked", 0))
        before = (await get(api, "context", "asked")).body["data"]
        events = [
            message("asked", 1, content="I want to buy that video, it is so good 😍"),
            message("asked", 2, replaces="e0", content="Hello!"),
            message("asked", 3, type="tip", amount=12.5),
        ]
        body = {"creatorId": "creator", "fanId": "asked", "events": events}
        answer = await api.until(lambda: ask(api, "POST", "what-if", json=body), 200)
        assert (await get(api, "context", "asked")).body["data"]["version"] == before["version"]
        written = [await save(api, event) for event in events]
        read = await get(api, "context", "asked", minPosition=written[-1])
        would, then = answer.body["data"], read.body["data"]
        for document in ("recentMessages", "personalityProfile", "emotionalState"):
            assert would[document] == then[document]
        for name in ("totalMessages", "totalRevenue", "lastInteraction"):
            assert would["engagementMetrics"][name] == then["engagementMetrics"][name]

        since = [before["version"], written[0]]
        found = [(await get(api, "changes", "asked", since=one)).body["data"] for one in since]
        assert [[one["event"]["eventId"] for one in each["events"]] for each in found] == [
            ["e1", "e2", "e3"],
            ["e2", "e3"],
        ]
        assert {each["until"] for each in found} == {then["version"]}
        revenue = found[0]["views"]["engagementMetrics"]["totalRevenue"]
        assert revenue == {"was": 0.0, "is": 12.5}
