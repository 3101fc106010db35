"""From an intent on Kafka to a message in the memory: worker, agent and API on real services."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from infra import failpoints
from infra.failpoints import AGENT
from llm import agent as agent_module
from llm import composer as composer_module
from llm.agent import Agent
from ops.services import Endpoints
from schemas.topics import (
    INTENT_DEAD_LETTERS,
    INTENT_RESULTS,
    INTENTS,
    INTERACTIONS,
    LLM_USAGE,
    WORKFLOW_TRACES,
)
from stores.workflows import composing, sending
from stores.workflows.intake import workflow_id
from tests.api.client import Client, running_api
from tests.pipeline import Pipeline, fresh_pipeline, message

FAST = {"reply_quiet_seconds": 0.1, "campaign_per_minute": 600}
USER = "user_1"


@pytest.fixture(scope="module")
async def pipeline(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    folder = tmp_path_factory.mktemp("agent")
    async with fresh_pipeline(services, template_database, folder, **FAST) as made:
        made.start_worker()
        await made.claimed()
        yield made


@pytest.fixture
async def agent(pipeline: Pipeline) -> AsyncIterator[Agent]:
    made = Agent(pipeline.settings)
    running = asyncio.create_task(made.run())
    yield made
    made.stop()
    await running


def intent(fan: str, **more: Any) -> dict[str, Any]:
    return {
        "type": "message_generation",
        "userId": USER,
        "creatorId": "creator",
        "recipientId": fan,
        "sendToOnlyFans": True,
        "data": {"instruction": "Say hello."},
        "intentId": f"to-{fan}",
    } | more


async def say(pipeline: Pipeline, *fans: str) -> None:
    await pipeline.publish(*(message(fan, 1, content="I love your photos!") for fan in fans))
    await pipeline.caught_up()


async def intend(pipeline: Pipeline, *intents: dict[str, Any] | bytes) -> None:
    values = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in intents]
    async with pipeline.producer() as producer:
        for value in values:
            await producer.send_and_wait(INTENTS.name, value, key=b"creator")


def uuid_of(fan: str) -> UUID:
    return UUID(bytes=workflow_id("creator", f"to-{fan}"))


async def state_of(pipeline: Pipeline, fan: str) -> str | None:
    rows = await pipeline.fetch("SELECT state FROM workflow WHERE workflow = $1", uuid_of(fan))
    return rows[0]["state"] if rows else None


async def until(question: Callable[[], Any], wanted: Any, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds):
        while await question() != wanted:
            await asyncio.sleep(0.05)


async def values(pipeline: Pipeline, topic: str, fan: str) -> list[dict[str, Any]]:
    """What a topic tells of a fan's workflow."""
    id = workflow_id("creator", f"to-{fan}").hex()
    records = await values_of(pipeline, topic)
    return [
        one for one in records if id in (one.get("workflowId"), *one.get("metadata", {}).values())
    ]


async def values_of(pipeline: Pipeline, topic: str) -> list[dict[str, Any]]:
    """All that a topic tells."""
    return [json.loads(record.value) for record in await pipeline.records(topic)]


async def ask(api: Client, method: str, path: str, **more: Any) -> Any:
    headers = {"Authorization": f"Bearer {api.token('creator')}"}
    return await api.ask(method, f"/api/workflows{path}", headers=headers, **more)


async def test_an_intent_becomes_a_draft_an_approved_send_and_a_message_in_the_memory(
    pipeline: Pipeline, agent: Agent
) -> None:
    fan = "end-to-end"
    await say(pipeline, fan)
    await intend(pipeline, intent(fan), intent(fan))
    await until(lambda: state_of(pipeline, fan), "awaiting_approval")
    async with running_api(pipeline.settings) as api:
        (listed,) = (await ask(api, "GET", "?state=awaiting_approval")).body["data"]["workflows"]
        assert listed["recipientId"] == fan
        id = listed["workflowId"]
        shown = (await ask(api, "GET", f"/{id}")).body["data"]
        (draft,) = shown["drafts"]
        assert draft["provider"] == "template"
        refused = await ask(api, "POST", f"/{id}/approve", json={"version": 2})
        assert refused.status == 409
        approved = await ask(api, "POST", f"/{id}/approve", json={"version": 1})
        assert approved.body["data"]["state"] == "approved"
        await until(lambda: state_of(pipeline, fan), "sent")
        costs = (await ask(api, "GET", "/costs")).body["data"]
        assert [one["name"] for one in costs["byFan"]] == [fan]
        assert costs["byFan"][0]["revenue"] == {"USD": 0.0}

    await until(lambda: told(pipeline, INTENT_RESULTS.name, fan), 1)
    (result,) = await values(pipeline, INTENT_RESULTS.name, fan)
    assert (result["state"], result["provider"]) == ("sent", "template")
    assert result["content"] == "\n".join(draft["messages"])
    assert result["metadata"] == {"attempt": 1, "totalRetries": 0, "success": True}
    await until(lambda: told(pipeline, INTERACTIONS.name, fan), len(draft["messages"]))
    sent = await values(pipeline, INTERACTIONS.name, fan)
    assert [(one["fanId"], one["author"]) for one in sent] == [(fan, "ai")]
    assert sent[0]["metadata"]["approvedBy"] == USER
    await pipeline.caught_up()
    (usage,) = await values(pipeline, LLM_USAGE.name, fan)
    assert (Decimal(usage["cost"]), usage["outcome"]) == (0, "answered")
    events = [one["event"] for one in await values(pipeline, WORKFLOW_TRACES.name, fan)]
    assert events == [
        "workflow_started",
        "template_execution_started",
        "template_execution_completed",
        "draft_ready",
        "draft_approved",
        "onlyfans_message_scheduled",
        "message_sent",
        "workflow_completed",
    ]


async def told(pipeline: Pipeline, topic: str, fan: str) -> int:
    return len(await values(pipeline, topic, fan))


async def test_plans_and_judgements_are_results_that_nobody_has_to_approve(
    pipeline: Pipeline, agent: Agent
) -> None:
    async with running_api(pipeline.settings) as api:
        plan = {"type": "content_planning", "userId": USER, "creatorId": "creator", "data": {}}
        made = await ask(api, "POST", "", json=plan)
        assert made.status == 202
        judged = plan | {"type": "content_validation", "data": {"content": "See you at my flat!"}}
        other = await ask(api, "POST", "", json=judged)
        for asked, field in ((made, "items"), (other, "verdict")):
            id = asked.body["workflowId"]

            async def ended(id: str = id) -> str:
                answer = await ask(api, "GET", f"/{id}")
                return str(answer.body["data"]["workflow"]["state"]) if answer.status == 200 else ""

            await until(ended, "completed")
            shown = (await ask(api, "GET", f"/{id}")).body["data"]
            assert field in shown["drafts"][0]["result"]
        for changed in ({"userId": "other"}, {"creatorId": "other"}):
            assert (await ask(api, "POST", "", json=plan | changed)).status == 403
        campaign = await ask(api, "POST", "", json=plan | {"type": "campaign_execution"})
        assert campaign.status == 400
        assert "data.segment" in json.dumps(campaign.body)


async def test_bad_intents_are_dead_letters_with_field_and_reason(pipeline: Pipeline) -> None:
    """Sealed under the key of the fan whom they name, or the day's: erasing reaches them."""
    await say(pipeline, "refused")
    await intend(
        pipeline,
        b"{",
        intent("x", priority="huge"),
        intent("x", type="campaign_execution"),
        intent("refused", priority="urgent"),
    )

    async def letters() -> list[tuple[str, str]]:
        records = await pipeline.records(INTENT_DEAD_LETTERS.name)
        found = [json.loads(record.value) for record in records]
        return sorted((one["field"], one["key"].partition(":")[0]) for one in found)

    refused = [("$", "day"), ("priority", "day"), ("priority", "subject"), ("recipientId", "day")]
    await until(letters, refused)


class Killed(BaseException):
    """As if the process had ended there: nothing is caught, nothing is written."""


@pytest.mark.parametrize("point", [one for one in AGENT if not one.startswith("intake")])
async def test_whatever_ends_the_agent_nothing_is_sent_twice_and_every_cent_is_known(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    fan = f"killed-{point.replace('.', '-')}"
    complete = point == "llm.before_complete"
    await say(pipeline, fan)
    calls: list[str] = []

    def killing(name: str) -> None:
        if name == point and point not in calls:
            calls.append(point)
            raise Killed

    for module in (agent_module, composer_module, composing, sending, failpoints):
        monkeypatch.setattr(module, "fail_point", killing)
    made = Agent(pipeline.settings)
    sends: list[str] = []
    send = made._adapter.send

    async def counted(part: Any) -> Any:
        sends.append(part.key)
        return await send(part)

    monkeypatch.setattr(made._adapter, "send", counted)
    running = asyncio.create_task(made.run())
    try:
        await intend(pipeline, intent(fan, sendToOnlyFans=not complete))
        end = await settled(pipeline, made, fan)
        lost = point in ("send.before_call", "send.after_call", "send.before_finish")
        rows = await pipeline.fetch(
            "SELECT state, outcome FROM usage WHERE workflow = $1", uuid_of(fan)
        )
        await until(lambda: told(pipeline, LLM_USAGE.name, fan), len(rows))
        await until(lambda: told(pipeline, INTENT_RESULTS.name, fan), 0 if lost else 1)
    finally:
        made.stop()
        await running
    assert calls == [point]
    assert len(sends) == len(set(sends)) <= 1
    assert end == ("unknown" if lost else "completed" if complete else "sent")
    assert "reserved" not in {row["state"] for row in rows}
    lost_calls = [row for row in rows if row["state"] == "unknown"]
    assert len(lost_calls) == (point in ("llm.before_call", "llm.after_call"))


async def settled(pipeline: Pipeline, made: Agent, fan: str) -> str:
    """Until nothing more happens; leases run out at once, and drafts are approved."""
    from stores.workflows.approving import Approvals, Named
    from stores.workflows.sealed import Vault

    id = workflow_id("creator", f"to-{fan}")
    approvals = Approvals(made.pool, Vault(pipeline.keyring))
    async with asyncio.timeout(30):
        while True:
            await asyncio.sleep(0.05)
            if id not in made._claimed:
                await pipeline.fetch(
                    "UPDATE workflow SET due = clock_timestamp() WHERE workflow = $1 AND leased"
                    " RETURNING 1",
                    uuid_of(fan),
                )
            state = await state_of(pipeline, fan)
            if state == "awaiting_approval":
                rows = await pipeline.fetch(
                    "SELECT draft FROM workflow WHERE workflow = $1", uuid_of(fan)
                )
                await approvals.approve("creator", Named(id, rows[0]["draft"]), USER)
            if state in ("sent", "completed", "unknown", "failed"):
                return state


FANS = tuple(f"member-{number}" for number in range(7))
CAMPAIGNER = "campaigner"


async def run(api: Client, method: str, path: str, **more: Any) -> Any:
    """As the campaigns' creator."""
    headers = {"Authorization": f"Bearer {api.token(CAMPAIGNER)}"}
    return await api.ask(method, f"/api/workflows{path}", headers=headers, **more)


async def campaign(api: Client, id: str) -> dict[str, Any]:
    answer = await run(api, "GET", f"/campaigns/{id}")
    found: dict[str, Any] = answer.body["data"] if answer.status == 200 else {}
    return found


def adds_up(counts: dict[str, Any]) -> bool:
    places = {name: one for name, one in counts.items() if name not in ("members", "skipped")}
    return bool(sum(places.values()) + sum(counts["skipped"].values()) == counts["members"])


async def test_a_campaign_is_previewed_started_approved_sent_and_reported(
    pipeline: Pipeline, agent: Agent
) -> None:
    order = {
        "segment": {"level": "low", "topic": "photography"},
        "instruction": "Ask how the week was.",
        "name": "Hello again",
        "sendToOnlyFans": True,
        "more": {"limits": ["no video calls"]},
    }
    async with running_api(pipeline.settings) as api:
        misspelt = order | {"segment": {"levle": "low"}}
        assert (await run(api, "POST", "/campaigns/preview", json=misspelt)).status == 400
        fans = [message(fan, 1, creatorId=CAMPAIGNER) for fan in FANS]
        await pipeline.publish(*fans)
        await pipeline.caught_up()
        order["segment"] = {"level": "low"}
        asked = await run(api, "POST", "/campaigns/preview", json=order)
        assert asked.status == 202
        id = asked.body["workflowId"]

        async def state() -> str:
            found = await campaign(api, id)
            if not found:
                return ""
            assert adds_up(found["campaign"]["counts"])
            return str(found["campaign"]["state"])

        await until(state, "ready")
        found = await campaign(api, id)
        drafts = [one["draft"]["messages"] for one in found["previews"]]
        assert (found["estimate"], len(drafts), all(drafts)) == (len(FANS), 5, True)
        assert {one["draft"]["provider"] for one in found["previews"]} == {"template"}
        assert found["cost"] == {"least": "0", "most": "0"}  # a template's
        assert found["campaign"]["name"] == "Hello again"
        started = await run(api, "POST", f"/campaigns/{id}/start")
        assert started.status == 200, started.body

        async def drafted() -> list[dict[str, Any]]:
            page = await run(api, "GET", "?state=awaiting_approval")
            found: list[dict[str, Any]] = page.body["data"]["workflows"]
            return found

        async with asyncio.timeout(30):
            while len(await drafted()) < len(FANS):
                await asyncio.sleep(0.1)
        assert {one["recipientId"] for one in await drafted()} == {*FANS}
        first, *others = await drafted()
        rejected = {"version": 1, "reason": "not_needed"}
        await run(api, "POST", f"/{first['workflowId']}/reject", json=rejected)
        named = [{"workflowId": one["workflowId"], "version": 1} for one in others]
        approved = await run(api, "POST", "/approve", json={"drafts": named})
        assert {one["state"] for one in approved.body["data"]} == {"approved"}
        await until(state, "ended", 40)
        counts = (await campaign(api, id))["campaign"]["counts"]
        assert (counts["sent"], counts["skipped"]) == (len(FANS) - 1, {"rejected": 1})

        async def results() -> list[dict[str, Any]]:
            return [
                one for one in await values_of(pipeline, INTENT_RESULTS.name)
                if one["workflowId"] == id
            ]  # fmt: skip

        async def reported() -> int:
            return len(await results())

        await until(reported, 1)
        (result,) = await results()
        assert (result["state"], result["type"]) == ("completed", "campaign_execution")
        report = result["fullResult"]
        found = {name: report[name] for name in ("members", "sent", "failed", "skipped")}
        assert found == {"members": 7, "sent": 6, "failed": 0, "skipped": 1}
        assert (report["madeBy"], result["metadata"]["success"]) == ("template", True)
        listed = (await run(api, "GET", "/campaigns")).body["data"]["campaigns"]
        assert [one["workflowId"] for one in listed] == [id]
        for word in ("start", "pause"):
            assert (await run(api, "POST", f"/campaigns/{id}/{word}")).status == 409
        assert (await run(api, "POST", f"/campaigns/{id}/resume", json={})).status == 409

        # Everybody was written to a moment ago: another campaign leaves them alone.
        await pipeline.caught_up()
        intent = {
            "type": "campaign_execution",
            "userId": USER,
            "creatorId": CAMPAIGNER,
            "sendToOnlyFans": True,
            "data": {"segment": {}, "instruction": "Once more."},
        }
        again = (await run(api, "POST", "", json=intent)).body["workflowId"]

        async def skipped() -> dict[str, int]:
            found = await campaign(api, again)
            counts: dict[str, Any] = found["campaign"]["counts"] if found else {"skipped": {}}
            return dict(counts["skipped"])

        await until(skipped, {"written_to": len(FANS) - 1})
        stopped = await run(api, "POST", f"/campaigns/{again}/stop")
        assert stopped.body["data"]["state"] == "stopping"
        await until(skipped, {"stopped": 1, "written_to": len(FANS) - 1})
