"""A short form of `fanmemory bench fans`."""

from lab.bench import fans


async def test_bench_fans_lists_pages_of_fans_who_meet_both_conditions() -> None:
    figures = await fans.measure(fans=500, rate=30, seconds=0.5)
    assert figures["fans"] == 500
    assert figures["pageBytes"] > 5_000, "a page is full"
    for load in (figures["steady"], figures["most"]):
        assert set(load["statuses"]) == {200}
        assert 0 < load["p50Ms"] <= load["p99Ms"] <= load["maxMs"]
    assert figures["steady"]["requests"] == 15
    assert figures["most"]["cpuMicrosPerRequest"] > 0
