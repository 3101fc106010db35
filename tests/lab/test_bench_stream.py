"""A short form of `fanmemory bench stream`: every stream is told all that is its creator's."""

import pytest

from lab.bench import stream


@pytest.mark.usefixtures("forked_programs")
async def test_every_stream_is_told_everything_of_its_creator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stream, "WARM_UP_SECONDS", 0.5)
    figures = await stream.measure(streams=10, creators=4, rate=40, seconds=1)
    # Of 4 creators two have 3 streams and two have 2; each has 10 of the 40 updates.
    assert (figures["updates"], figures["told"], figures["lost"]) == (40, 100, 0)
    assert figures["resets"] == 0
    assert 0 < figures["feedP99Ms"] <= figures["p99Ms"] <= figures["maxMs"]
