"""Answers that are kept for a day: whose they are, and when they are gone."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from infra.postgres import open_pool
from infra.settings import Settings
from stores import erasure
from stores.erasure import Names
from stores.workflows.answers import Answer, Answers
from stores.workflows.approving import Named
from tests.stores.workflows import OPERATOR, Desk

KEY, OTHER = b"k" * 32, b"o" * 32
SAID = Answer('{"messages": ["hi"]}', "gpt-4o-mini-2024-07-18")


@pytest.fixture
async def desk(store_settings: Settings) -> AsyncIterator[Desk]:
    pool = await open_pool(store_settings.postgres_url, size_max=8)
    yield Desk(store_settings, pool)
    await pool.close()


@pytest.fixture
def answers(desk: Desk) -> Answers:
    return Answers(desk.pool, desk.vault)


async def rows(desk: Desk) -> int:
    found: int = await desk.pool.fetchval("SELECT count(*) FROM answer")
    return found


async def test_only_the_same_question_about_the_same_fan_finds_it(
    desk: Desk, answers: Answers
) -> None:
    fan, other = await desk.fan(), await desk.fan("other")
    theirs = await desk.fan("fan", "another")
    await answers.keep("creator", fan.id, KEY, SAID)
    assert await answers.find("creator", fan.id, KEY) == SAID
    for creator, subject, key in (
        ("creator", fan.id, OTHER),
        ("creator", other.id, KEY),
        ("creator", None, KEY),
        ("another", fan.id, KEY),
        ("another", theirs.id, KEY),
    ):
        assert await answers.find(creator, subject, key) is None
    body = await desk.pool.fetchval("SELECT body FROM answer")
    assert b"hi" not in body
    assert "hi" not in repr(SAID)


async def test_a_row_that_was_given_to_somebody_else_opens_nothing(
    desk: Desk, answers: Answers
) -> None:
    fan, other = await desk.fan(), await desk.fan("other")
    await answers.keep("creator", fan.id, KEY, SAID)
    await desk.pool.execute("UPDATE answer SET subject = $1", other.id)
    assert await answers.find("creator", other.id, KEY) is None
    await desk.pool.execute("UPDATE answer SET subject = $1, key = $2", fan.id, OTHER)
    assert await answers.find("creator", fan.id, OTHER) is None


async def test_after_a_day_it_is_gone(desk: Desk, answers: Answers) -> None:
    await answers.keep("creator", None, KEY, SAID)
    assert await answers.find("creator", None, KEY) == SAID
    assert await answers.find("another", None, KEY) is None
    await answers.sweep()
    assert await rows(desk) == 1
    await desk.pool.execute("UPDATE answer SET until = until - interval '86401 seconds'")
    assert await answers.find("creator", None, KEY) is None
    await answers.sweep()
    assert await rows(desk) == 0


async def test_an_erased_fan_has_none_and_gets_none(desk: Desk, answers: Answers) -> None:
    fan, other = await desk.fan(), await desk.fan("other")
    for one in (fan, other):
        await answers.keep("creator", one.id, one.id + KEY[:16], SAID)
    who = (fan.creator_id, fan.fan_id)
    await asyncio.gather(
        erasure.erase(desk.pool, Names(desk.keyring), 4, who),
        *(answers.keep("creator", fan.id, bytes([n]) * 32, SAID) for n in range(6)),
    )
    await answers.keep("creator", fan.id, KEY, SAID)
    assert await desk.pool.fetchval("SELECT count(*) FROM answer WHERE subject = $1", fan.id) == 0
    assert await answers.find("creator", other.id, other.id + KEY[:16]) == SAID


@pytest.mark.parametrize("decided", ["reject", "retry"])
async def test_what_a_person_does_not_want_is_not_given_again(
    desk: Desk, answers: Answers, decided: str
) -> None:
    fan, other = await desk.fan(), await desk.fan("other")
    await answers.keep("creator", fan.id, KEY, SAID)
    await answers.keep("creator", other.id, OTHER, SAID)
    id = await desk.proposed()
    if decided == "reject":
        await desk.approvals.reject("creator", Named(id, 1), OPERATOR, "wrong_tone", None)
    else:
        await desk.approvals.retry("creator", id, OPERATOR)
    assert await answers.find("creator", fan.id, KEY) is None
    assert await answers.find("creator", other.id, OTHER) == SAID
