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

FAST = {"reply_quiet_seconds": 0.1}
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
