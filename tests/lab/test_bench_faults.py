"""A short form of `fanmemory bench faults`."""

from infra.settings import Settings
from lab.bench import faults


async def test_a_store_at_fault_costs_no_request_more_than_its_deadline() -> None:
    """Here with a shorter one, and the fault that takes the longest; the command tries them all."""
    settings = Settings(request_seconds_max=3.0, database_seconds_max=2.5, cache_seconds_max=0.5)
    figures = await faults.measure(settings, rate=20, seconds=1, faults=("black hole",))
    stalled, found = figures["stalled"], figures["faults"]
    assert set(stalled["statuses"]) == {200}, "Postgres answers for Redis"
    assert [(one["of"], one["fault"]) for one in found] == [
        ("redis", "black hole"),
        ("postgres", "black hole"),
    ]
    for one in found:
        # Half of the fans are unknown, and in no cache. A busy machine may be late by itself.
        without = {200: 10, 404: 10} if one["of"] == "redis" else {200: 10}
        assert without.items() <= one["statuses"].items(), one
        assert set(one["statuses"]) <= {200, 404, 503, 504}, one
        assert sum(one["statuses"].values()) == one["requests"] == 20
        assert one["mendedSeconds"] < faults.MENDED_SECONDS_MAX
    assert found[1]["maxMs"] > 1000, "a black hole was none"
