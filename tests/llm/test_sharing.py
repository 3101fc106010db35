"""Equal calls in flight are one call, and only equal ones."""

import asyncio

import pytest

from llm.prompts import compose
from llm.sharing import Flights, answer_key
from tests.llm.material import material

PROMPT = compose(material(("fan", "hello")), secret=b"1")


def test_a_key_depends_on_everything_an_answer_may_depend_on_and_on_nothing_else() -> None:
    plain = answer_key(b"subject", "journal-0:1", PROMPT, "m")
    assert len(plain) == 32
    other = compose(material(("fan", "hello!")), secret=b"1")
    second = compose(material(("fan", "hello"), problems=("x",)), secret=b"1")
    keys = {
        plain,
        answer_key(b"subject2", "journal-0:1", PROMPT, "m"),
        answer_key(b"subject", "journal-0:2", PROMPT, "m"),
        answer_key(b"subject", None, PROMPT, "m"),
        answer_key(b"subject", "journal-0:1", PROMPT, "n"),
        answer_key(b"subject", "journal-0:1", PROMPT._replace(version="v"), "m"),
        answer_key(b"subject", "journal-0:1", other, "m"),
        answer_key(b"subject", "journal-0:1", second, "m"),
        answer_key(b"subjectj", "ournal-0:1", PROMPT, "m"),
    }
    assert len(keys) == 9
    elsewhere = compose(material(("fan", "hello")), secret=b"another process")
    assert answer_key(b"subject", "journal-0:1", elsewhere, "m") == plain


class Calls:
    """Counts its calls; each ends when it is let."""

    def __init__(self) -> None:
        self.count = 0
        self.ended = 0
        self.go = asyncio.Event()
        self.wrong: Exception | None = None

    async def __call__(self) -> int:
        self.count += 1
        try:
            await self.go.wait()
        finally:
            self.ended += 1
        if self.wrong:
            raise self.wrong
        return 7


async def test_equal_calls_are_one_and_one_of_them_pays() -> None:
    flights: Flights[int] = Flights()
    calls = Calls()
    waiting = [asyncio.create_task(flights.call(b"a", calls)) for _ in range(5)]
    other = asyncio.create_task(flights.call(b"b", calls))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (calls.count, len(flights)) == (2, 2)
    calls.go.set()
    found = await asyncio.gather(*waiting)
    assert found == [(7, False)] + [(7, True)] * 4
    assert await other == (7, False)
    assert len(flights) == 0
    assert await flights.call(b"a", calls) == (7, False), "what has landed is not shared"


async def test_an_error_is_everybodys() -> None:
    flights: Flights[int] = Flights()
    calls = Calls()
    calls.wrong = ValueError()
    waiting = [asyncio.create_task(flights.call(b"a", calls)) for _ in range(3)]
    await asyncio.sleep(0)
    calls.go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(one) for one in found] == [ValueError] * 3
    assert (calls.count, len(flights)) == (1, 0)


async def test_who_is_cancelled_leaves_the_call_to_the_others_and_the_last_one_ends_it() -> None:
    flights: Flights[int] = Flights()
    calls = Calls()
    first, second = (asyncio.create_task(flights.call(b"a", calls)) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (calls.ended, len(flights)) == (0, 1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await asyncio.sleep(0)
    assert (calls.ended, len(flights)) == (1, 0)
