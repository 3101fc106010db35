"""Streams of updates over real HTTP, from a real topic."""

import asyncio
import signal
import socket
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from admin import topics
from api import stream_feed
from api.stream_feed import Feed
from api.tokens import issue_token
from infra.settings import Settings
from ops.services import EmbeddedServices, Endpoints
from schemas.workflows import TracedStep, TraceEvent, encode_step
from tests import services as helpers
from tests.api.client import CREATOR, FAN, PREFIX, SECONDS_MAX, Client, running_api
from tests.api.sse import listening, numbers, tell, tell_of_workflows, update
from tests.api.test_serve import api_process
from tests.pipeline import fresh_pipeline, message


async def test_what_moves_is_told_as_it_does_and_only_to_its_own(api: Client) -> None:
    async with (
        listening(api) as ours,
        listening(api, fanId=FAN) as of_one,
        listening(api, "creator_other") as theirs,
    ):
        assert ours.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert ours.answer.headers["Cache-Control"] == "no-store"
        assert ours.answer.headers["X-Accel-Buffering"] == "no"
        assert "X-Correlation-Id" in ours.answer.headers
        for one in (ours, of_one, theirs):
            await one.place()
        await tell(
            api.settings,
            *(update(n, FAN if n % 2 else "another") for n in range(6)),
            update(6, FAN, "creator_other"),
            b"no update at all",
            update(7, FAN, "creator_456x"),
            update(8, FAN, erased=True),
            update(9, FAN),
        )
        found = await ours.events(8)
        assert sorted(numbers(found)) == [0, 1, 2, 3, 4, 5, 8, 9]
        assert [one.name for one in found if one.data["fanId"] == FAN][-2:] == ["erased", "update"]
        assert found[0].data.keys() == {
            *("creatorId", "fanId", "views", "version", "engagementScore", "timestamp")
        }
        assert numbers(await of_one.events(5)) == [1, 3, 5, 8, 9]
        assert numbers(await theirs.events(1)) == [6]
        assert await api.counter("memory_api_streams_open") == 3
    assert await api.counter("memory_api_stream_events_total") == 14


async def test_a_client_goes_on_where_it_was_on_any_process(api: Client) -> None:
    fans = [f"fan-{n % 7}" for n in range(40)]
    async with listening(api) as first:
        await first.place()
        await tell(api.settings, *(update(n, fans[n]) for n in range(20)))
        had = await first.events(11)
        last = first.last
    await tell(api.settings, *(update(n, fans[n]) for n in range(20, 40)))
    async with running_api(api.settings) as other, listening(other, last=last) as second:
        had += await second.events(20)
        last = second.last
    async with listening(api, lastEventId=str(last)) as third:
        had += await third.events(9)
        assert sorted(numbers(had)) == list(range(40))
        await tell(api.settings, update(99))
        assert numbers(await third.events(1)) == [99]


async def test_whoever_has_had_everything_is_told_nothing_twice(api: Client) -> None:
    async with listening(api) as first:
        place = await first.place()
        await tell(api.settings, update(1, FAN, "creator_other"))
    async with listening(api, last=place) as again:
        await tell(api.settings, update(2))
        assert numbers(await again.events(1)) == [2]


@pytest.mark.parametrize(
    "last",
    ["nonsense", "0.1-1.1.1.1", "-ffff.0.0.0", "-1", "-0.0.0.0.0.0.0", "é", "-" + "1." * 9_000],
)
async def test_a_place_that_is_not_known_means_reading_again(
    api: Client, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_feed, "CATCH_UP_SECONDS_MAX", 0.05)
    async with listening(api, lastEventId=last) as stream:
        told = await stream.event()
        assert told is not None
        assert (told.name, told.data) == ("reset", {"reason": "unknown"})
        await tell(api.settings, update(3))
        assert numbers(await stream.events(1)) == [3]
        assert stream.last != last


async def test_what_fell_out_of_the_ring_is_not_told_in_part(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.components.Feed", partial(Feed, size=8))
    async with running_api(api.settings) as small:
        async with listening(small) as first:
            place = await first.place()
            await tell(api.settings, *(update(n, f"fan-{n}") for n in range(12)))
            await first.events(12)
        async with listening(small, last=place) as again:
            told = await again.event()
            assert told is not None and told.name == "reset"


async def test_a_client_that_takes_nothing_is_told_to_read_again(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_feed, "BEHIND_MAX", 16)
    slow = _Slow(api, "creator_slow")
    reset = 'memory_api_stream_resets_total{reason="behind"}'
    async with asyncio.timeout(SECONDS_MAX), listening(api, "creator_slow", fanId="f") as quick:
        await quick.place()
        padding = "x" * 250
        count = 0
        while f"{reset} " not in await api.metrics():
            many = [update(n, f"{padding}{n}", "creator_slow") for n in range(count, count + 2_000)]
            count += 2_000
            await tell(api.settings, *many)
        await tell(api.settings, update(count, "f", "creator_slow"))
        assert numbers(await quick.events(1)) == [count]
        text = await slow.rest(f"journal-0:{count}")
    before, _, after = text.rpartition("event: reset")
    assert '{"reason":"behind"}' in after
    assert before.count("event: update") < count
    await api.counter(reset)


class _Slow:
    """A client that opens a stream and reads nothing until it is asked to."""

    def __init__(self, api: Client, creator: str) -> None:
        host, _, port = api.url.removeprefix("http://").partition(":")
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.connect((host, int(port)))
        self.socket.sendall(
            f"GET {PREFIX}/stream?creatorId={creator} HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {api.token(creator)}\r\n\r\n".encode()
        )

    async def rest(self, until: str) -> str:
        self.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        found = b""
        while until.encode() not in found:
            found += await loop.sock_recv(self.socket, 65_536)
        self.socket.close()
        return found.decode()


async def test_a_stream_ends_with_its_token(api: Client) -> None:
    token = issue_token(api.settings, CREATOR, "user_1", 2)
    async with listening(api, token=token) as stream:
        assert await stream.event() is None
    answer = await api.ask(
        "GET", f"{PREFIX}/stream?creatorId={CREATOR}", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status == 401


async def test_a_silent_stream_says_that_it_is_there_and_where_its_client_stands(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_feed, "COMMENT_SECONDS", 0.1)
    async with running_api(api.settings) as hasty, listening(hasty) as stream:
        place = await stream.place()
        await tell(api.settings, update(1, FAN, "creator_other"))
        async with asyncio.timeout(SECONDS_MAX):
            while await stream.place() == place:
                pass
        assert stream.comments > 0
    async with listening(api, last=stream.last) as again:
        await tell(api.settings, update(2))
        assert numbers(await again.events(1)) == [2]


async def test_there_are_as_many_streams_as_are_allowed_and_a_quarter_for_one(api: Client) -> None:
    settings = api.settings.model_copy(update={"streams_max": 8})
    async with running_api(settings) as few:

        async def status(creator: str) -> tuple[int, str | None]:
            headers = {"Authorization": f"Bearer {few.token(creator)}"}
            url = f"{PREFIX}/stream?creatorId={creator}"
            async with few.session.get(few.url + url, headers=headers) as answer:
                return answer.status, answer.headers.get("Retry-After")

        async with listening(few), listening(few):
            assert await status(CREATOR) == (503, "1")
            others = [listening(few, f"c{n // 2}") for n in range(6)]
            for one in others:
                await one.__aenter__()
            assert await status("somebody") == (503, "1")
            for one in others:
                await one.__aexit__(None, None, None)
            async with asyncio.timeout(SECONDS_MAX):
                while (await status("somebody"))[0] != 200:
                    await asyncio.sleep(0.01)
        assert await few.counter("memory_api_streams_open") <= 1


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("creatorId=creator_other", 403),
        (f"creatorId={CREATOR}&creatorId=creator_other", 400),
        (f"creatorId={CREATOR}&fanId=", 400),
        (f"creatorId={CREATOR}&lastEventId=1&lastEventId=2", 400),
    ],
)
async def test_what_is_asked_wrongly_is_refused(api: Client, query: str, status: int) -> None:
    assert (await api.ask("GET", f"{PREFIX}/stream?{query}")).status == status


async def test_head_answers_without_a_stream_and_other_methods_not_at_all(api: Client) -> None:
    answer = await api.ask("HEAD", f"{PREFIX}/stream?creatorId={CREATOR}")
    assert (answer.status, answer.body) == (200, "")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert (await api.ask("POST", f"{PREFIX}/stream")).status == 405


async def ticket(api: Client, creator: str = CREATOR, **asked: Any) -> str:
    headers = {"Authorization": f"Bearer {api.token(creator)}"}
    body = {"creatorId": creator} | asked
    answer = await api.ask("POST", f"{PREFIX}/stream/ticket", json=body, headers=headers)
    assert answer.status == 200, answer.body
    assert answer.headers["Cache-Control"] == "no-store"
    return str(answer.body["data"]["ticket"])


async def by_ticket(api: Client, text: str, **asked: str) -> int:
    query = {"creatorId": CREATOR, "ticket": text} | asked
    url = f"{api.url}{PREFIX}/stream"
    async with api.session.get(url, params=query) as answer:
        return answer.status


async def test_a_ticket_opens_one_stream_on_any_process(api: Client) -> None:
    made = await ticket(api, fanId=FAN)
    assert CREATOR not in made and FAN not in made
    async with running_api(api.settings) as other:
        async with listening(other, ticket=made, fanId=FAN) as stream:
            await stream.place()
            await tell(api.settings, update(1, "another"), update(2, FAN))
            assert numbers(await stream.events(1)) == [2]
        assert await by_ticket(other, made, fanId=FAN) == 401
        assert await by_ticket(api, made, fanId=FAN) == 401


async def test_a_ticket_is_for_what_it_was_asked_for_and_nothing_else(api: Client) -> None:
    assert await by_ticket(api, await ticket(api, fanId=FAN)) == 403
    assert await by_ticket(api, await ticket(api, fanId=FAN), fanId="another") == 403
    assert await by_ticket(api, await ticket(api), fanId=FAN) == 403
    assert await by_ticket(api, await ticket(api, "creator_other")) == 403
    made = await ticket(api)
    for route in ("context", "engagement-score"):
        url = f"{PREFIX}/{route}?creatorId={CREATOR}&fanId={FAN}&ticket={made}"
        assert (await api.ask("GET", url, headers={})).status == 401
    for forged in ("", "x", "é", made[:-4], "A" + made[1:], made[:40], "A" * 9_000):
        assert await by_ticket(api, forged) == 401
    assert await by_ticket(api, made) == 200
    asked = {"creatorId": "creator_other"}
    assert (await api.ask("POST", f"{PREFIX}/stream/ticket", json=asked)).status == 403
    wrongs: list[Any] = [{}, [], {"creatorId": 7}, {"creatorId": CREATOR, "fan": FAN}]
    for wrong in (*wrongs, {"creatorId": ""}):
        assert (await api.ask("POST", f"{PREFIX}/stream/ticket", json=wrong)).status == 400


async def test_a_ticket_ends_after_a_minute_or_with_its_token(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.stream_tickets.SECONDS", 0)
    assert await by_ticket(api, await ticket(api)) == 401
    monkeypatch.undo()
    token = issue_token(api.settings, CREATOR, "user_1", 2)
    answer = await api.ask(
        "POST",
        f"{PREFIX}/stream/ticket",
        json={"creatorId": CREATOR},
        headers={"Authorization": f"Bearer {token}"},
    )
    async with listening(api, ticket=answer.body["data"]["ticket"]) as stream:
        assert await stream.event() is None


async def test_a_stopped_process_ends_its_streams_at_once(
    store_settings: Settings, tmp_path: Path
) -> None:
    """Also one whose client takes nothing; and a stream goes on at the next process."""
    await topics.recreate(store_settings)
    async with api_process(store_settings, tmp_path) as running:
        async with aiohttp.ClientSession() as session:
            api = Client(running.url, running.url, session, store_settings)
            async with listening(api) as stream:
                await stream.place()
                slow = _Slow(api, CREATOR)
                await tell(store_settings, *(update(n, "x" * 250) for n in range(6_000)))
                await stream.events(20)
                running.process.send_signal(signal.SIGTERM)
                while await stream.event() is not None:
                    pass
            async with asyncio.timeout(10):
                _, err = await running.process.communicate()
        slow.socket.close()
    assert running.process.returncode == 0
    assert b"Traceback" not in err
    assert b"graceful shutdown exceeded" not in err  # nothing had to be cancelled


async def test_a_stream_goes_on_when_kafka_does(
    own_services: EmbeddedServices, tmp_path: Path
) -> None:
    endpoints: Endpoints = own_services.endpoints
    template = await helpers.make_template(endpoints)
    async with helpers.fresh_database(endpoints, template) as url:
        settings = await helpers.fresh_settings(endpoints, url, tmp_path, kafka=True)
        async with running_api(settings) as api, listening(api) as stream:
            await stream.place()
            await tell(settings, update(1))
            await stream.events(1)
            own_services.kill("kafka")
            await asyncio.to_thread(own_services.restart, "kafka")
            await tell(settings, *(update(n, f"f{n}") for n in range(2, 12)))
            assert sorted(numbers(await stream.events(10))) == list(range(2, 12))
            last = stream.last
            await topics.recreate(settings)
            told = await stream.event()
            assert told is not None
            assert (told.name, told.data) == ("reset", {"reason": "log"})
            await tell(settings, update(50))
            assert numbers(await stream.events(1)) == [50]
            async with listening(api, last=last) as again:
                told = await again.event()
                assert told is not None and told.name == "reset"


async def test_events_of_a_real_pipeline_come_through_and_so_does_an_erasure(
    services: Endpoints, template_database: str, tmp_path: Path
) -> None:
    async with fresh_pipeline(services, template_database, tmp_path) as pipeline:
        pipeline.start_worker()
        async with running_api(pipeline.settings) as api, listening(api, "creator") as stream:
            headers = {"Authorization": f"Bearer {api.token('creator')}"}
            await stream.place()
            asked = message("fan", 1, content="I want my money back")
            answer = await api.post(asked, headers=headers)
            assert answer.status == 200
            (told,) = await stream.events(1)
            assert (told.name, told.data["fanId"]) == ("update", "fan")
            raised = {"evidence": "explicit", "timestamp": told.data["timestamp"], "count": 1}
            assert told.data["signals"] == {"refund": raised}
            who = {"creatorId": "creator", "fanId": "fan"}
            read = await api.ask("GET", f"{PREFIX}/context", params=who, headers=headers)
            assert read.body["data"]["version"] == told.data["version"]
            assert read.body["data"]["emotionalState"]["signals"] == told.data["signals"]
            cleared = await api.ask("DELETE", f"{PREFIX}/clear", params=who, headers=headers)
            assert cleared.status in (200, 202)
            (gone,) = await stream.events(1)
            assert (gone.name, gone.data["fanId"], gone.data["erased"]) == ("erased", "fan", True)


async def test_a_budget_that_is_spent_is_told_at_once_to_its_creator(api: Client) -> None:
    def step(event: TraceEvent, creator: str = CREATOR, **budget: str) -> TracedStep:
        return TracedStep(
            event=event,
            trace_id="trace",
            workflow_id="workflow",
            user_id="user",
            type="message_generation",
            timestamp="2026-01-01T00:00:00.000Z",
            creator_id=creator,
            data={"attempt": 1} | budget,
        )

    async with (
        listening(api) as ours,
        listening(api, fanId=FAN) as of_one,
        listening(api, "creator_other") as theirs,
    ):
        place = await ours.place()
        for one in (of_one, theirs):
            await one.place()
        day = {"scope": "creator", "period": "day"}
        steps = (
            step("workflow_started"),
            step("budget_warning", **day),
            step("budget_exceeded", **day),
            step("budget_exceeded", **day),  # once a minute is enough
            step("budget_exceeded", "creator_other", scope="user", period="month"),
            step("budget_warning", ""),
            step("budget_exceeded", scope="campaign"),
        )
        values = [encode_step(one) for one in steps]
        values[1:1] = [b'"budget_', b'{"event":"budget_warning","data":{"scope":"nobody"}}']
        await tell_of_workflows(api.settings, values)
        told = await ours.events(3)
        assert {one.name for one in told} == {"budget"}
        common = {
            "creatorId": CREATOR,
            "timestamp": "2026-01-01T00:00:00.000Z",
            "workflowId": "workflow",
        }
        assert [one.data for one in told] == [
            common | day | {"state": "warning"},
            common | day | {"state": "exceeded"},
            common | {"scope": "campaign", "state": "exceeded"},
        ]
        assert ours.last == place  # it has no place in the stream
        (other,) = await theirs.events(1)
        assert other.data["state"] == "exceeded"
        assert (other.data["scope"], other.data["period"]) == ("user", "month")
        await tell(api.settings, update(1, FAN))
        assert numbers(await of_one.events(1)) == [1]
        assert numbers(await ours.events(1)) == [1]
