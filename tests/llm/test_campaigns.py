"""A campaign from its preview to its report: worker, agent and API on real services."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from llm import campaigns as campaigns_module
from llm.agent import Agent
from llm.campaigns import chosen
from ops.services import Endpoints
from schemas.topics import INTENT_RESULTS
from tests.api.client import Client, running_api
from tests.llm.test_end_to_end import FAST, USER, ask, say, until, values_of
from tests.pipeline import Pipeline, fresh_pipeline

FANS = tuple(f"fan-{number}" for number in range(7))


@pytest.fixture(scope="module")
async def pipeline(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    folder = tmp_path_factory.mktemp("campaigns")
    fast = FAST | {"campaign_per_minute": 600}
    async with fresh_pipeline(services, template_database, folder, **fast) as made:
        made.start_worker()
        await made.claimed()
        await say(made, *FANS)
        yield made


@contextlib.asynccontextmanager
async def running(pipeline: Pipeline) -> AsyncIterator[Agent]:
    made = Agent(pipeline.settings)
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.stop()
        await task


async def campaign(api: Client, id: str) -> dict[str, Any]:
    answer = await ask(api, "GET", f"/campaigns/{id}")
    found: dict[str, Any] = answer.body["data"] if answer.status == 200 else {}
    return found


def adds_up(counts: dict[str, Any]) -> bool:
    places = {name: one for name, one in counts.items() if name not in ("members", "skipped")}
    return bool(sum(places.values()) + sum(counts["skipped"].values()) == counts["members"])


async def test_a_campaign_is_previewed_started_approved_sent_and_reported(
    pipeline: Pipeline,
) -> None:
    order = {
        "segment": {"level": "low", "topic": "photography"},
        "instruction": "Ask how the week was.",
        "name": "Hello again",
        "sendToOnlyFans": True,
        "more": {"limits": ["no video calls"]},
    }
    async with running_api(pipeline.settings) as api, running(pipeline):
        misspelt = order | {"segment": {"levle": "low"}}
        assert (await ask(api, "POST", "/campaigns/preview", json=misspelt)).status == 400
        order["segment"] = {"level": "low"}
        asked = await ask(api, "POST", "/campaigns/preview", json=order)
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
        started = await ask(api, "POST", f"/campaigns/{id}/start")
        assert started.status == 200, started.body

        async def drafted() -> list[dict[str, Any]]:
            page = await ask(api, "GET", "?state=awaiting_approval")
            found: list[dict[str, Any]] = page.body["data"]["workflows"]
            return found

        async with asyncio.timeout(30):
            while len(await drafted()) < len(FANS):
                await asyncio.sleep(0.1)
        assert {one["recipientId"] for one in await drafted()} == {*FANS}
        first, *others = await drafted()
        rejected = {"version": 1, "reason": "not_needed"}
        await ask(api, "POST", f"/{first['workflowId']}/reject", json=rejected)
        named = [{"workflowId": one["workflowId"], "version": 1} for one in others]
        approved = await ask(api, "POST", "/approve", json={"drafts": named})
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
        listed = (await ask(api, "GET", "/campaigns")).body["data"]["campaigns"]
        assert [one["workflowId"] for one in listed] == [id]
        for word in ("start", "pause"):
            assert (await ask(api, "POST", f"/campaigns/{id}/{word}")).status == 409
        assert (await ask(api, "POST", f"/campaigns/{id}/resume", json={})).status == 409

        # Everybody was written to a moment ago: another campaign leaves them alone.
        await pipeline.caught_up()
        intent = {
            "type": "campaign_execution",
            "userId": USER,
            "creatorId": "creator",
            "sendToOnlyFans": True,
            "data": {"segment": {}, "instruction": "Once more."},
        }
        again = (await ask(api, "POST", "", json=intent)).body["workflowId"]

        async def ended() -> str:
            found = await campaign(api, again)
            return str(found["campaign"]["state"]) if found else ""

        await until(ended, "ended", 40)
        counts = (await campaign(api, again))["campaign"]["counts"]
        assert counts["members"] == 7
        # The rejected one was not written to, and a person may want it.
        assert counts["skipped"]["written_to"] == 6


async def test_more_members_than_a_campaign_may_have_end_it_before_it_begins(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = pipeline.settings.model_copy(update={"campaign_members_max": 3})
    monkeypatch.setattr(pipeline, "settings", settings)
    async with running_api(settings) as api, running(pipeline):
        order = {"segment": {}, "instruction": "Hello."}
        id = (await ask(api, "POST", "/campaigns/preview", json=order)).body["workflowId"]

        async def reason() -> str | None:
            found = await campaign(api, id)
            return found["campaign"]["reason"] if found else None

        await until(reason, campaigns_module.TOO_MANY)
        assert (await ask(api, "GET", f"/{id}")).body["data"]["workflow"]["state"] == "failed"


def test_those_of_a_preview_follow_from_the_campaign_and_not_from_their_order() -> None:
    fans = [f"f{number}" for number in range(100)]
    assert chosen(b"a" * 16, fans) == chosen(b"a" * 16, fans[::-1])
    assert chosen(b"a" * 16, fans) != chosen(b"b" * 16, fans)
    assert len(chosen(b"a" * 16, fans)) == 5
    assert chosen(b"a" * 16, fans[:2]) != []
