"""A copy of a list goes on being looked at, whatever a look meets."""

import asyncio
import logging

import pytest

from schemas.errors import DatabaseUnavailable
from stores import watched_copy
from stores.watched_copy import WatchedCopy


class Copy(WatchedCopy):
    def __init__(self, *meets: Exception | None) -> None:
        super().__init__()
        self._meets = iter(meets)
        self.read = asyncio.Event()

    async def look(self) -> None:
        met = next(self._meets, None)
        if met is not None:
            raise met
        self.read.set()


async def test_the_next_look_follows_on_any_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(watched_copy, "LOOK_SECONDS", 0.01)
    copy = Copy(DatabaseUnavailable(), ValueError("unforeseen"), DatabaseUnavailable())
    with caplog.at_level(logging.ERROR):
        await copy.start()
        await asyncio.wait_for(copy.read.wait(), 10)
        await copy.close()
    assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_it_is_known_when_it_has_started_and_a_slow_one_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = Copy()
    await quick.start()
    assert quick.read.is_set()
    await quick.close()

    class Slow(Copy):
        async def look(self) -> None:
            await asyncio.sleep(60)

    monkeypatch.setattr(watched_copy, "LOOK_SECONDS", 0.01)
    slow = Slow()
    await asyncio.wait_for(slow.start(), 10)
    await slow.close()
