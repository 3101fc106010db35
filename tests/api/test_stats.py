"""GET stats: the circuits, as the reference names them."""

from ops.services.ports import free_port
from schemas.times import render_time
from tests.api.client import Answer, Client, running_api


async def test_each_circuit_has_its_state_and_counts(api: Client) -> None:
    await api.get("context")
    answer = await api.get("stats")
    assert answer.status == 200
    assert list(answer.body) == ["data", "correlationId", "timestamp"]
    circuits = answer.body["data"]
    assert list(circuits) == ["database", "cache", "broker"]
    for circuit in circuits.values():
        assert list(circuit) == ["state", "failures", "successes", "lastFailure"]
    assert circuits["cache"] == {
        "state": "CLOSED",
        "failures": 0,
        "successes": circuits["cache"]["successes"],
        "lastFailure": None,
    }
    assert circuits["cache"]["successes"] > 0
    assert (await api.ask("GET", "/api/of-memory/stats", headers={})).status == 401


async def test_failures_are_counted_until_the_circuit_opens(api: Client) -> None:
    gone = f"redis://127.0.0.1:{free_port()}/0"
    settings = api.settings.model_copy(update={"redis_url": gone, "ping_seconds": 60.0})
    began = render_time(0)
    async with running_api(settings) as without:
        for _ in range(settings.cache_failures_max):
            assert (await without.get("context")).status == 200

        async def opened() -> Answer:
            """A moment later: what was overtaken is counted when its retries are over."""
            cache = (await without.get("stats")).body["data"]["cache"]
            return Answer(200 if cache["state"] == "OPEN" else 0, {}, cache)

        cache = (await without.until(opened, 200)).body
    assert cache["state"] == "OPEN"
    assert cache["failures"] >= settings.cache_failures_max
    assert cache["lastFailure"] > began
