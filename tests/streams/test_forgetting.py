"""Forgetting a message: the views are those of a world without it, and nothing opens it any more."""

import secrets

import pytest

from admin.verify import verify
from stores.erasure import Status
from tests.pipeline import Pipeline, forgetter_of, message, purchase

CREATOR = "creator"


@pytest.fixture
def fan() -> str:
    """A fan whom no other test of the module knows."""
    return f"fan-{secrets.token_hex(4)}"


async def forget(
    pipeline: Pipeline, fan: str, *ids: str, seconds: float = 20.0, before: int | None = None
) -> Status:
    async with forgetter_of(pipeline) as forgetter:
        status = await forgetter.forget((CREATOR, fan), ids, seconds, before=before)
    pipeline.sent += 1
    return status


async def test_the_views_are_those_of_a_world_without_it(running: Pipeline, fan: str) -> None:
    events = [message(fan, n) for n in range(5)] + [purchase(fan, 7, 20.0)]
    twin = [event | {"fanId": f"{fan}-twin"} for event in events if event["eventId"] != "e2"]
    await running.publish(*events, *twin)
    await running.drained()

    status = await forget(running, fan, "e2")

    assert (status.waits_for, status.subjects, status.events) == ([], 1, 1)
    await running.drained()
    report = await verify(running.settings, processes=1)
    assert (report.differences, report.not_compared) == ((), ())
    async with running.stores() as (_, store):
        history = await store.history(CREATOR, fan, 20)
        assert [entry.event_id for _, entry in history if entry.kind != "delete"] == [
            "e0",
            "e1",
            "e3",
            "e4",
            "e7",
        ]
