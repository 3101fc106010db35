"""`clients/python`: both clients against an API, over a transport that can lose answers."""

import asyncio
import inspect
import json
import re
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from fanmemory_client import (
    AsyncFanMemory,
    BadRequest,
    Conflict,
    FanMemory,
    FanMemoryError,
    Forbidden,
    NoAnswer,
    NotFound,
    Policy,
    RateLimited,
    ServerFailed,
    Unauthorized,
    Unavailable,
    calls,
    models,
)
from fanmemory_client import client as clients
from fanmemory_client.client import Awaited, Blocking
from fanmemory_client.errors import error_of
from fanmemory_client.retrying import SPREAD, Attempts
from hypothesis import given
from hypothesis import strategies as st

from api.table import ENDPOINTS
from ops.contracts.published import MODELS, client_models
from tests.live import CREATOR, Live

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "clients" / "python"
README = (PROJECT / "README.md").read_text("utf-8")
WHEN = datetime(2026, 1, 1, 10, 30, tzinfo=UTC)
NOT_FOR_CLIENTS = (
    *("/health/live", "/health/ready", "/openapi.json", "/docs"),
    "/api/webhooks/{platform}/{connection}",  # asked by platforms
)
PATIENT = Policy(deadline=60.0)
Spoil = Callable[[httpx2.Request], Awaitable[httpx2.Response]]


class Spoiled(httpx2.AsyncBaseTransport):
    """Real requests, of which the first are spoiled: `lost`, or answered with a status."""

    def __init__(self, *spoils: str | int, after: str = "0") -> None:
        self.sent: list[httpx2.Request] = []
        self._spoils = list(spoils)
        self._after = after
        self._real = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.sent.append(request)
        spoil = self._spoils.pop(0) if self._spoils else None
        if isinstance(spoil, int):
            said = {"error": "not now", "correlationId": "c"}
            return httpx2.Response(spoil, json=said, headers={"Retry-After": self._after})
        answer = await self._real.handle_async_request(request)
        if spoil == "lost":
            await answer.aread()
            await answer.aclose()
            raise httpx2.ReadError("the connection was cut")
        return answer

    async def aclose(self) -> None:
        await self._real.aclose()


@pytest.fixture
async def memory(live: Live) -> AsyncIterator[AsyncFanMemory]:
    async with AsyncFanMemory(live.url, live.token(), policy=PATIENT) as client:
        yield client


def spoiled(live: Live, *spoils: str | int, after: str = "0") -> tuple[AsyncFanMemory, Spoiled]:
    transport = Spoiled(*spoils, after=after)
    client = AsyncFanMemory(live.url, live.token(), policy=PATIENT, transport=transport)
    return client, transport


def tip(fan: str, amount: float | None = 5.0, **more: Any) -> models.InteractionEvent:
    return models.InteractionEvent(
        creator_id=CREATOR, fan_id=fan, type="tip", amount=amount, timestamp=WHEN, **more
    )


async def test_what_is_saved_is_read_at_once(memory: AsyncFanMemory) -> None:
    with pytest.raises(NotFound, match="Fan not found"):
        await memory.context(CREATOR, "py-read")
    position = await memory.save(tip("py-read"))
    assert re.fullmatch(r"interactions-\d+:\d+", position)
    context = await memory.context(CREATOR, "py-read")
    assert context.data.engagement_metrics.total_revenue == 5
    assert context.data.last_interaction == WHEN
    assert not context.degraded
    score = await memory.engagement_score(CREATOR, "py-read", min_position=position)
    assert 0 < score.data.score <= 1
    explained = await memory.explain(
        CREATOR, "py-read", "totalRevenue", since=WHEN - timedelta(days=1)
    )
    assert explained.to_value == 5
    with pytest.raises(NotFound):
        await memory.context(CREATOR, "py-read", as_of=WHEN - timedelta(days=1))


async def test_what_has_not_changed_is_not_sent_again(live: Live) -> None:
    memory, transport = spoiled(live)
    async with memory:
        await memory.save(tip("py-tag"))
        first = await memory.context(CREATOR, "py-tag")
        assert await memory.context(CREATOR, "py-tag", known=first) is first
        assert transport.sent[-1].headers["if-none-match"] == first.etag
        await memory.save(tip("py-tag"))
        second = await memory.context(CREATOR, "py-tag", known=first)
        assert second.data.engagement_metrics.total_revenue == 10


async def test_a_write_whose_answer_is_lost_counts_once(live: Live, memory: AsyncFanMemory) -> None:
    losing, transport = spoiled(live, "lost", 503)
    async with losing:
        await losing.save(tip("py-once"))
    keys = [request.headers["idempotency-key"] for request in transport.sent]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    losing, transport = spoiled(live, "lost")
    async with losing:
        outcomes = await losing.save_all(
            [tip("py-once", 1), tip("py-once", None), tip("py-once", 2, event_id="é 3")]
        )
    assert len(transport.sent) == 2
    assert [outcome.field for outcome in outcomes] == [None, "amount", None]
    context = await memory.context(CREATOR, "py-once", min_position=outcomes[2].position)
    assert context.data.engagement_metrics.total_revenue == 8


async def test_many_are_read_and_written_in_as_many_requests_as_it_takes(live: Live) -> None:
    memory, transport = spoiled(live)
    async with memory:
        fans = [f"py-many-{number}" for number in range(120)]
        outcomes = await memory.save_all(tip(fan) for fan in fans * 5)
        assert (len(outcomes), len(transport.sent)) == (600, 2)
        found = await memory.contexts(CREATOR, [*fans, "py-nobody"])
        assert set(found.data) == set(fans)
        assert found.not_found == ["py-nobody"]
        assert len(transport.sent) == 4
        assert await memory.save_all([]) == []


async def test_an_error_is_of_the_class_that_says_what_to_do(live: Live) -> None:
    for token, kind in (("none", Unauthorized), (live.token("creator_other"), Forbidden)):
        async with AsyncFanMemory(live.url, lambda token=token: token) as stranger:  # type: ignore[misc] # its default is what it says
            with pytest.raises(kind):
                await stranger.context(CREATOR, "py-errors")
    async with AsyncFanMemory(live.url, live.token()) as memory:
        with pytest.raises(BadRequest, match="amount: is required for a tip") as refused:
            await memory.save(tip("py-errors", None))
    assert refused.value.type == "VALIDATION_ERROR"
    assert refused.value.status == 400
    assert uuid.UUID(refused.value.correlation_id)


async def test_attempts_are_bounded_and_what_does_harm_is_sent_once(live: Live) -> None:
    for spoils, after, kind, times in (
        ((503, 503, 503, 503), "0", Unavailable, 3),
        ((504, 502, 503), "0", Unavailable, 3),
        ((429,), "3600", RateLimited, 1),
        ((500,), "0", ServerFailed, 1),
    ):
        memory, transport = spoiled(live, *spoils, after=after)
        async with memory:
            with pytest.raises(kind):
                await memory.context(CREATOR, "py-bounds")
        assert len(transport.sent) == times
    memory, transport = spoiled(live, 429, "lost")
    async with memory:
        with pytest.raises(NoAnswer):
            await memory.cancel("0" * 32, creator_id=CREATOR)
    assert len(transport.sent) == 2, "nothing was done of what is answered with 429"


async def test_the_deadline_ends_a_call_that_is_never_answered() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url, policy = f"http://127.0.0.1:{port}", Policy(deadline=0.1)
        async with AsyncFanMemory(url, "token", policy=policy) as memory:
            with pytest.raises(NoAnswer):
                await memory.stats()
        with FanMemory(url, "token", policy=policy) as waiting, pytest.raises(NoAnswer):
            await asyncio.to_thread(waiting.stats)


async def test_what_happened_since_and_what_would_be(memory: AsyncFanMemory) -> None:
    who = CREATOR, "py-changes"
    first = await memory.save(tip("py-changes"))
    await memory.context(*who, min_position=first)
    would = await memory.what_if(*who, [tip("py-changes", 7)])
    assert would.engagement_metrics.total_revenue == 12
    before = (await memory.context(*who)).data
    assert before.engagement_metrics.total_revenue == 5
    assert before.version is not None
    second = await memory.save(tip("py-changes", 7))
    await memory.context(*who, min_position=second)
    changes = await memory.changes(*who, before.version)
    assert len(changes.events) == 1
    moved = changes.views["engagementMetrics"]["totalRevenue"]
    assert (moved.was, moved.is_) == (5, 12)
    everything = await memory.changes(*who, datetime.now(UTC) - timedelta(days=400))
    assert len(everything.events) == 2


async def test_an_inbox_is_listed_read_and_searched(memory: AsyncFanMemory) -> None:
    who = CREATOR, "py-inbox"
    asked = models.InteractionEvent(
        creator_id=who[0],
        fan_id=who[1],
        type="message",
        content="Où es-tu ?",
        timestamp=WHEN,
        event_id="q1",
    )
    version = await memory.save(asked)
    context = (await memory.context(*who, min_position=version)).data
    assert context.inbox is not None
    assert context.inbox.unanswered == 1
    page = await memory.fans(CREATOR, sort="waitingSince", waiting=True, limit=200)
    (fan,) = [one for one in page.fans if one.fan_id == who[1]]
    assert fan.waiting_since == context.inbox.waiting_since
    said = await memory.messages(*who, q="ou tu", limit=10)
    assert [one.id for one in said.messages] == ["q1"]
    assert said.next_cursor is None
    earlier = await memory.messages(*who, before=datetime(2020, 1, 1, tzinfo=UTC))
    assert earlier.messages == []
    await memory.context(*who, min_position=await memory.save(tip(who[1], 7, event_id="t1")))
    paid = await memory.purchases(*who)
    assert [(one.id, one.net, one.refunds) for one in paid.purchases] == [("t1", 7, [])]


async def test_what_became_of_an_event(memory: AsyncFanMemory) -> None:
    who = CREATOR, "py-fate"
    position = await memory.save(tip("py-fate", event_id="odd/id"))
    context = (await memory.context(*who, min_position=position)).data
    for asked in ({}, {"position": position}, {"type": "tip"}):
        fate = await memory.event(*who, "odd/id", **asked)
        assert (fate.fate, fate.version) == ("applied", context.version)
    assert context.version is not None
    again = (await memory.context(*who, min_position=context.version)).data
    assert again.version == context.version
    assert (await memory.event(*who, "another")).fate == "unknown"
    page = await memory.refused(CREATOR, limit=1)
    assert all(one.fan_id != who[1] for one in page.refused)


class Cut(httpx2.AsyncBaseTransport):
    """Real connections, the body of which is lost when `cut` is called."""

    def __init__(self) -> None:
        self.opened: list[httpx2.Request] = []
        self.cut = asyncio.Event()
        self._real = httpx2.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._real.handle_async_request(request)
        if request.url.path.endswith("/stream"):
            self.opened.append(request)
            self.cut.clear()
            answer.stream = CutStream(answer.stream, self.cut)
        return answer

    async def aclose(self) -> None:
        await self._real.aclose()


class CutStream(httpx2.AsyncByteStream):
    def __init__(self, real: Any, cut: asyncio.Event) -> None:
        self._real = real
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        parts = self._real.__aiter__()
        while True:
            part = asyncio.ensure_future(anext(parts))
            cut = asyncio.ensure_future(self._cut.wait())
            await asyncio.wait((part, cut), return_when=asyncio.FIRST_COMPLETED)
            cut.cancel()
            if not part.done():
                part.cancel()
                raise httpx2.ReadError("the connection was cut")
            yield part.result()

    async def aclose(self) -> None:
        await self._real.aclose()


async def test_a_stream_tells_what_moves_and_goes_on_behind_a_lost_connection(
    live: Live, memory: AsyncFanMemory
) -> None:
    transport, versions = Cut(), []
    client = AsyncFanMemory(live.url, live.token(), policy=PATIENT, transport=transport)

    async def save_when_it_listens() -> None:
        while not transport.opened:
            await asyncio.sleep(0.01)
        await memory.save(tip("py-stream"))

    async with client, asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(save_when_it_listens())
        async for told in client.stream(CREATOR, "py-stream"):
            assert told.kind == "update"
            assert told.update is not None
            assert told.update.fan_id == "py-stream"
            versions.append(told.update.version)
            if len(versions) == 3:
                break
            transport.cut.set()
            await memory.save(tip("py-stream"))
    assert len(set(versions)) == 3
    assert len(transport.opened) >= 3
    assert transport.opened[-1].headers["last-event-id"]
    assert (await memory.stream_ticket(CREATOR)).ticket
    async with AsyncFanMemory(live.url, "none") as stranger:
        with pytest.raises(Unauthorized):
            await anext(stranger.stream(CREATOR))


def test_a_budget_is_told_by_a_stream_and_what_a_newer_service_says_is_not() -> None:
    data = json.dumps(
        {
            "creatorId": CREATOR,
            "state": "exceeded",
            "timestamp": "2026-01-01T00:00:00.000Z",
            "workflowId": "w",
            "scope": "campaign",
        }
    )
    told = clients._told(httpx2.ServerSentEvent(event="budget", data=data, id="7"))
    assert told is not None and told.budget is not None
    assert (told.kind, told.id, told.budget.state) == ("budget", "7", "exceeded")
    assert (told.budget.scope, told.budget.period) == ("campaign", None)
    assert clients._told(httpx2.ServerSentEvent(event="later", data="{}", id="8")) is None


async def test_a_stream_that_can_not_be_had_ends(live: Live) -> None:
    def waits() -> None:
        with FanMemory("http://127.0.0.1:9", "token") as nowhere, pytest.raises(NoAnswer):
            next(nowhere.stream(CREATOR))
        with FanMemory(live.url, live.token(), policy=PATIENT) as client:
            stream = client.stream(CREATOR, last="nonsense")
            told = next(stream)
            stream.close()
            assert (told.kind, told.reason, told.update) == ("reset", "unknown", None)

    await asyncio.to_thread(waits)
    async with AsyncFanMemory("http://127.0.0.1:9", "token") as nowhere:
        with pytest.raises(NoAnswer):
            await anext(nowhere.stream(CREATOR))


async def test_a_message_is_forgotten(live: Live, memory: AsyncFanMemory) -> None:
    for number in range(2):
        await memory.save(
            models.InteractionEvent(
                fan_id="py-forgetful",
                creator_id=CREATOR,
                type="message",
                content="Hello",
                timestamp=WHEN,
                event_id=f"said {number}/1",  # which an address has to quote
            )
        )
    assert len((await memory.context(CREATOR, "py-forgetful")).data.recent_messages) == 2
    forgotten = await memory.forget(CREATOR, "py-forgetful", "said 1/1")
    assert isinstance(forgotten, models.Forgotten | models.Enveloped)

    async def gone() -> bool:
        found = await memory.context(CREATOR, "py-forgetful")
        return [one.id for one in found.data.recent_messages] == ["said 0/1"]

    assert await live.pipeline.wait_for(gone)
    with pytest.raises(NotFound):
        await memory.forget(CREATOR, "py-forgetful", "never")
    for asked in (memory.forgetting("0" * 32), memory.forgetting_receipt("0" * 32)):
        with pytest.raises(NotFound):
            await asked


async def test_a_fan_has_rights(memory: AsyncFanMemory) -> None:
    who = CREATOR, "py-rights"
    await memory.save(tip("py-rights"))
    await memory.context(*who)
    async with memory.export(*who) as parts:
        exported = b"".join([part async for part in parts])
    assert "py-rights" in json.dumps(json.loads(exported))
    assert (await memory.suppress(*who)).suppressed
    assert (await memory.suppression(*who)).suppressed
    assert not (await memory.unsuppress(*who)).suppressed
    cleared = await memory.clear(*who)
    done = cleared.data if isinstance(cleared, models.Enveloped) else cleared
    assert (await memory.erasure(done.erasure_id)).erasure_id == done.erasure_id
    with pytest.raises(NotFound):
        await memory.context(*who, consistency="eventual")
    with pytest.raises(NotFound):
        async with memory.export(*who) as parts:
            pass
    assert (await memory.receipt_keys()).keys
    kept = models.Retention(silent_days=400)
    assert await memory.set_retention(CREATOR, kept) == kept
    assert await memory.retention(CREATOR) == kept


async def test_the_agent_is_asked_once_and_its_drafts_are_judged(live: Live) -> None:
    memory, transport = spoiled(live, "lost")
    nobody = "0" * 32
    async with memory:
        started = await memory.start_workflow(
            models.ProductionWorkflowIntent(
                type="message_generation",
                user_id="user_1",
                creator_id=CREATOR,
                recipient_id="py-agent",
                data={"purpose": "reply"},
            )
        )
        assert len(transport.sent) == 2
        assert re.fullmatch("[0-9a-f]{32}", started.workflow_id)

        async def known() -> list[str]:
            found = memory.all_workflows(creator_id=CREATOR)
            return [one.workflow_id async for one in found]

        assert await live.pipeline.wait_for(known) == [started.workflow_id]
        with pytest.raises(NotFound):
            await memory.workflow(nobody, creator_id=CREATOR)
        for judged in (
            memory.approve(nobody, 1),
            memory.reject(nobody, 1, "wrong_tone"),
            memory.edit(nobody, 1, ["Hello"]),
            memory.recompose(nobody),
            memory.resolve(nobody, sent=True),
        ):
            with pytest.raises(NotFound, match="Workflow not found"):
                await judged
        several = await memory.approve_several([models.NamedDraft(workflow_id=nobody, version=1)])
        assert several[0].error == "Workflow not found"
        assert (await memory.halt(halt=False)).halt is False
        with pytest.raises(NotFound):
            await memory.hold("py-agent")
        assert (await memory.costs(since=WHEN)).total == []


async def test_a_campaign_is_previewed_listed_and_steered(live: Live) -> None:
    memory, transport = spoiled(live, "lost")
    nobody = "0" * 32
    async with memory:
        asked = models.PreviewCampaign(
            segment=models.Segment(min_score=0.99), instruction="Say hello"
        )
        previewed = await memory.preview_campaign(asked, creator_id=CREATOR)
        assert len(transport.sent) == 2

        async def known() -> list[str]:
            page = await memory.campaigns(creator_id=CREATOR)
            return [one.workflow_id for one in page.campaigns]

        assert previewed.workflow_id in await live.pipeline.wait_for(known)
        found = await memory.campaign(previewed.workflow_id, creator_id=CREATOR)
        assert found.campaign.workflow_id == previewed.workflow_id
        stopped = await memory.stop_campaign(previewed.workflow_id, creator_id=CREATOR)
        assert stopped.state in ("stopping", "stopped")
        for steered in (
            memory.campaign(nobody),
            memory.start_campaign(nobody),
            memory.pause_campaign(nobody),
            memory.resume_campaign(nobody, budget=models.CampaignBudget(money="5")),
        ):
            with pytest.raises(NotFound):
                await steered


async def test_connections_are_made_listed_and_ended(memory: AsyncFanMemory) -> None:
    name = "cd" * 16
    value = models.NewConnection(platform="stripe", secret="whsec_test")
    assert (await memory.connect(name, value)).platform == "stripe"
    assert (await memory.connection(name)).connection == name
    assert [one.connection for one in await memory.connections()] == [name]
    await memory.disconnect(name)
    with pytest.raises(NotFound):
        await memory.connection(name)
    assert (await memory.stats()).database.state == "CLOSED"


async def test_the_client_that_waits_does_the_same(live: Live) -> None:
    def all_of_it() -> None:
        with FanMemory(live.url, live.token(), policy=PATIENT) as memory:
            memory.save(tip("py-waits"))
            assert len(memory.save_all([tip("py-waits"), tip("py-waits")])) == 2
            first = memory.context(CREATOR, "py-waits")
            assert first.data.engagement_metrics.total_revenue == 15
            assert memory.context(CREATOR, "py-waits", known=first) is first
            found = memory.contexts(CREATOR, ["py-waits", "py-nobody"])
            assert (list(found.data), found.not_found) == (["py-waits"], ["py-nobody"])
            with memory.export(CREATOR, "py-waits") as parts:
                assert json.loads(b"".join(parts))
            assert list(memory.all_workflows(creator_id=CREATOR, state="sent")) == []
            with pytest.raises(NotFound):
                memory.context(CREATOR, "py-nobody")
        with FanMemory("http://127.0.0.1:9", "token") as nowhere, pytest.raises(NoAnswer):
            nowhere.stats()

    await asyncio.to_thread(all_of_it)


async def test_the_examples_of_its_readme_run(
    live: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    here = {"token": live.token()}
    await asyncio.to_thread(exec, first.replace("https://memory.example.com", live.url), here)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "1 Hello!"
    assert said[1].startswith("Fan not found ")
    exec(second.replace("https://memory.example.com", live.url), here)  # noqa: S102 # it is ours
    assert set(await here["scores"](["fan_123", "py-nobody"])) == {"fan_123"}  # type: ignore[operator] # it came out of a page


# Without an API.


async def test_what_its_readme_installs_is_whole(tmp_path: Path) -> None:
    """By the same package builder, without asking an index for what is here already."""
    assert "```sh\npip install ./clients/python\n```" in README
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", tmp_path)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "install", *options, str(PROJECT))
    )
    assert await process.wait() == 0
    laid = {path.name for path in (tmp_path / "fanmemory_client").iterdir()}
    assert laid >= {path.name for path in (PROJECT / "fanmemory_client").glob("*.*")}


def test_its_models_are_what_the_contract_says() -> None:
    assert MODELS.read_bytes() == client_models(), "run make contracts"


def test_every_endpoint_of_the_contract_has_a_call_in_both_languages() -> None:
    source = ROOT / "clients" / "typescript" / "src"
    typescript = (source / "client.ts").read_text() + (source / "stream.ts").read_text()
    python = inspect.getsource(calls) + inspect.getsource(clients)
    for endpoint in ENDPOINTS:
        if endpoint.path in NOT_FOR_CLIENTS:
            continue
        assert endpoint.path in typescript, endpoint.path
        named = re.sub(r"{\w+}", "", endpoint.path).rstrip("/").rpartition("/")[2]
        assert re.search(rf"\b{named}\b", python), endpoint.path


def test_both_clients_have_every_call() -> None:
    described = {
        name
        for name, one in vars(calls).items()
        if inspect.isfunction(one) and one.__module__ == calls.__name__ and name[0] != "_"
    }
    for client, kind in ((FanMemory, Blocking), (AsyncFanMemory, Awaited)):
        methods = {name: one for name, one in vars(client).items() if isinstance(one, kind)}
        assert methods.keys() == described
        for name, one in methods.items():
            assert inspect.getdoc(one) == inspect.getdoc(getattr(calls, name))


@given(st.floats(0, 30), st.sampled_from([None, 429, 503]), st.sampled_from([None, "0", "7", "x"]))
def test_a_pause_is_bounded_spread_and_never_over_the_deadline(
    gone: float, status: int | None, after: str | None
) -> None:
    policy = Policy(attempts=4)
    attempts = Attempts(policy, 0.0, repeatable=True)
    for made in range(1, 6):
        pause = attempts.pause_after(gone, status, after)
        if made >= policy.attempts:
            assert pause is None
        elif pause is not None:
            assert gone + pause < policy.deadline
            asked = 7.0 if after == "7" else 0.0
            usual = policy.pause * 2 ** (made - 1)
            assert max(asked, usual * (1 - SPREAD)) <= pause <= max(asked, usual * (1 + SPREAD))
    assert attempts.left(gone) > 0


def test_an_answer_that_breaks_the_contract_is_an_error_of_its_own() -> None:
    call = calls.stats()
    for body in (b"", b"{}", b"<html>", b"\xff", b'{"data": {"database": 1}}'):
        with pytest.raises(ServerFailed, match="not what the contract says"):
            call.result(calls.Answer(200, {}, body))
    more = (
        b'{"data": {"silentDays": 9, "new": 1}, "correlationId": "c",'
        b' "timestamp": "2026-01-01T00:00:00Z", "new": []}'
    )
    assert calls.retention("c").result(calls.Answer(200, {}, more)).silent_days == 9


@given(
    st.integers(300, 599),
    st.binary() | st.builds(msgspec.json.encode, st.dictionaries(st.text(), st.text())),
)
def test_whatever_an_error_is_answered_with_it_is_raised_as_one(status: int, body: bytes) -> None:
    error = error_of(status, {"x-correlation-id": "c"}, body)
    assert isinstance(error, FanMemoryError)
    assert error.status == status
    assert str(error)


def test_a_stale_draft_names_what_is_newer() -> None:
    body = b'{"error": "stale", "fresh": ["m1"], "correlationId": "c"}'
    error = error_of(409, {}, body)
    assert isinstance(error, Conflict)
    assert error.fresh == ("m1",)


def test_a_time_without_a_zone_is_refused_before_it_is_sent() -> None:
    with pytest.raises(ValueError, match="zone"):
        calls.context("c", "f", as_of=datetime(2026, 1, 1))
