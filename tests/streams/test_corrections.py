"""Edits, unsent messages and refunds, the whole way: as if the mistake had never been made."""

import random
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import msgspec
import pytest

from admin.rebuild import diff, rebuild
from admin.verify import verify
from admin.verify.reference import document_differences
from ops.services import Endpoints
from schemas.context import SignalAt
from schemas.topics import MEMORY_UPDATES
from schemas.updates import decode_update
from stores.past import History, open_past
from stores.store import Store
from tests.pipeline import Event, Pipeline, fill, fresh_pipeline, message, purchase, truth
from views.context import render_context
from views.corrections import TOO_LONG
from views.explain import context_as_of

NOW = int(time.time() * 1000)
START = NOW - 3_600_000


def said(number: int, **more: Any) -> Event:
    return message("", number, at=START + 1000 * number, **more)


def bought(number: int, amount: float = 20, **more: Any) -> Event:
    paid = purchase("", number, amount, timestamp=said(number)["timestamp"])
    return paid | {"eventId": f"p{number}", "metadata": {"contentType": "video"}} | more


def unsent(number: int, target: str, kind: str | None = None) -> Event:
    event = said(number, type="delete", refersTo={"eventId": target, "type": kind})
    del event["content"]
    return event


def edit(number: int, target: str, text: str) -> Event:
    return said(number, replaces=target, content=text)


def refund(number: int, target: str, amount: float, **more: Any) -> Event:
    return bought(number, amount, type="refund", refersTo={"eventId": target}, **more)


def noted(number: int, **more: Any) -> Event:
    return said(number, type="note", sender="creator", author="chatter", **more)


def fact(number: int, value: str, **more: Any) -> Event:
    return noted(number, metadata={"fact": {"kind": "pet", "value": value, **more}})


HATE, LOVE = "I hate you, give me my money back!", "I love you, this is wonderful!"
"""The first raises a signal besides."""
RANDOM = 12
ENTRIES_MAX = 30
"""Longer than any history but one."""
PET = "My dog's name is Rex."
HATED, LOVED = said(2, content=HATE), said(2, content=LOVE)
CASES: dict[str, tuple[list[Event], list[Event]]] = {
    "unsent": ([said(1), HATED, unsent(3, "e2")], [said(1)]),
    "unsent before it came": ([unsent(3, "e2"), said(1), HATED], [said(1)]),
    "edited": ([said(1), HATED, edit(3, "e2", LOVE)], [said(1), LOVED]),
    "edited before it came": ([edit(3, "e2", LOVE), HATED], [LOVED]),
    "edited twice": ([HATED, edit(4, "e3", LOVE), edit(3, "e2", "never mind")], [LOVED]),
    "edit unsent": ([LOVED, edit(3, "e2", HATE), unsent(4, "e3")], [LOVED]),
    "edited and unsent": ([said(1), LOVED, edit(3, "e2", HATE), unsent(4, "e2")], [said(1)]),
    "unsent and edited": ([said(1), LOVED, unsent(4, "e2"), edit(3, "e2", HATE)], [said(1)]),
    "answer unsent": (
        [said(1, sender="creator"), said(2), said(3), unsent(4, "e2")],
        [said(1, sender="creator"), said(3)],
    ),
    "purchase taken back": ([said(1), bought(2), unsent(3, "p2", "purchase")], [said(1)]),
    "refund taken back": ([bought(2), refund(3, "p2", 20), unsent(4, "p3", "refund")], [bought(2)]),
    "nothing left": ([said(1), unsent(2, "e1")], []),
    "told and unsent": (
        [said(1), said(2, content=PET), unsent(3, "e2"), noted(4)],
        [said(1), noted(4)],
    ),
    "told by an edit": ([HATED, edit(3, "e2", PET)], [said(2, content=PET)]),
    "told and edited": ([said(2, content=PET), edit(3, "e2", LOVE)], [LOVED]),
    "told and called wrong": (
        [said(1), said(2, content=PET), fact(3, "dog rex", wrong=True), fact(4, "Fido")],
        [said(1), said(2, content=PET), fact(3, "dog rex", wrong=True), fact(4, "Fido")],
    ),
    "a statement unsent": (
        [said(2, content=PET), fact(3, "dog Rex", wrong=True), unsent(4, "e3", "note")],
        [said(2, content=PET)],
    ),
    "note": ([said(1), noted(2)], [said(1), noted(2)]),
    "note unsent": ([noted(1), noted(2), unsent(3, "e2", "note")], [noted(1)]),
    "note unsent before it came": ([unsent(3, "e2"), said(1), noted(2)], [said(1)]),
    "note edited": ([noted(2), noted(3, content="two", replaces="e2")], [noted(2, content="two")]),
    "note edited by a message's id": (
        [said(1), LOVED, noted(3, replaces="e2"), said(4, content=HATE, replaces="n2"), noted(5)],
        [said(1), LOVED, noted(5)],
    ),
    "another fan's": ([said(1), unsent(2, "of-another")], [said(1)]),
}


def of(fan: str, events: list[Event]) -> list[Event]:
    return [event | {"fanId": fan} for event in events]


@pytest.fixture(scope="module")
async def corrected(
    services: Endpoints, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pipeline]:
    """Fans with a mistake that was corrected, each beside one without it, and random ones."""
    data = tmp_path_factory.mktemp("corrected")
    few = {"history_entries_max": ENTRIES_MAX}
    async with fresh_pipeline(services, template_database, data, **few) as made:
        made.start_worker()
        await made.vouched()
        await publish_cases(made)
        yield made


async def publish_cases(running: Pipeline) -> None:
    rng = random.Random(5)
    first = of("other", [said(1, eventId="of-another")])
    first += [event for name in CASES for event in of(f"at once {name}", CASES[name][0])]
    first += [event for fan in range(RANDOM) for event in of(f"random {fan}", randomly(rng))]
    await running.publish(*first)
    for step in range(max(len(events) for events, _ in CASES.values())):
        await running.publish(
            *(
                event
                for name, (events, clean) in CASES.items()
                for event in (
                    *of(f"singly {name}", events[step : step + 1]),
                    *of(f"clean {name}", clean[step : step + 1]),
                )
            )
        )
        await running.drained()  # each correction in a batch of its own


def randomly(rng: random.Random) -> list[Event]:
    """Some events, and corrections of them in any order."""
    events = [said(n, content=rng.choice((HATE, LOVE, "Fine.", PET))) for n in range(8)]
    events += [bought(n, rng.randrange(5, 60)) for n in range(8, 12)]
    events += [noted(n, content=rng.choice((HATE, LOVE))) for n in range(12, 15)]
    for number in range(20, 28):
        target = rng.choice(events)["eventId"]
        events.append(
            rng.choice(
                (
                    unsent(number, target),
                    edit(number, target, rng.choice((HATE, LOVE, "I live in Lisbon."))),
                    noted(number, content=HATE, replaces=target),
                    refund(number, target, rng.randrange(1, 60)),
                )
            )
        )
    rng.shuffle(events)
    return events


def as_of_now(who: tuple[str, str], known: History) -> Any:
    return context_as_of(*who, known, NOW)


async def shown(store: Store, fan: str, now: int = NOW) -> dict[str, Any] | None:
    """What a reader gets, but for the fan's name."""
    read = await store.read("creator", fan)
    if read is None:
        return None
    who = "creator", fan
    context = render_context(*who, read.state, read.entries, now, "USD", read.notes, read.telling)
    return rendered(context, fan)


def rendered(context: Any, fan: str) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(
        msgspec.json.encode(context).replace(msgspec.json.encode(fan), b'"fan"')
    )
    return document


@pytest.mark.parametrize("name", CASES)
async def test_nothing_tells_that_there_was_a_mistake(corrected: Pipeline, name: str) -> None:
    async with corrected.stores() as (_, store):
        clean = await shown(store, f"clean {name}")
        assert await shown(store, f"at once {name}") == clean
        assert await shown(store, f"singly {name}") == clean
        assert (clean is None) == (name == "nothing left")
        assert await shown(store, "other") is not None


async def test_live_as_of_and_the_definitions_agree_and_so_does_verify(
    corrected: Pipeline,
) -> None:
    past = await open_past(corrected.settings, corrected.keyring)
    try:
        async with corrected.stores() as (_, store):
            for number in range(RANDOM):
                fan = f"random {number}"
                log = [entry for _, entry in await store.history("creator", fan, 100)]
                live = await shown(store, fan)
                assert live is not None
                assert document_differences(live, "creator", "fan", log, NOW) == []
                who = ("creator", fan)
                now = await past.fold(*who, partial(as_of_now, who))
                assert rendered(now, fan) == live
    finally:
        await past.close()
    report = await verify(corrected.settings, processes=1)
    assert report.differences == ()
    assert report.quarantined == 0


async def test_a_cached_memory_is_corrected_too(corrected: Pipeline) -> None:
    fan = "cached"
    await corrected.publish(*of(fan, [said(1), said(2, content=HATE)]))
    await corrected.drained()
    async with corrected.stores() as (cache, store):

        async def warm() -> bool:
            await fill(cache, store, "creator", fan)
            return await cache.read("creator", fan) is not None

        await corrected.wait_for(warm)
        await corrected.publish(*of(fan, [edit(3, "e2", LOVE)]))
        await corrected.drained()

        async def dropped() -> bool:
            return await cache.read("creator", fan) is None

        await corrected.wait_for(dropped)
        await corrected.wait_for(warm)
        read = await cache.read("creator", fan)
        assert read == await truth(corrected, store, "creator", fan)
        assert read is not None
        assert [one.content for one in read.recent.decoded().messages][-1] == LOVE
        # What is pushed after it stands beside the corrected ones.
        await corrected.publish(*of(fan, [said(4)]))
        await corrected.drained()

        async def pushed() -> bool:
            found = await cache.read("creator", fan)
            return found is not None and len(found.recent.decoded().messages) == 3

        await corrected.wait_for(pushed)
        assert await cache.read("creator", fan) == await truth(corrected, store, "creator", fan)


async def test_a_note_is_cached_with_the_memory_and_corrected_in_it(corrected: Pipeline) -> None:
    """And nothing of it was read: it is about the fan, and not the fan's word."""
    fan = "noted"
    await corrected.publish(*of(fan, [said(1), noted(2, content=HATE), said(3)]))
    await corrected.drained()
    async with corrected.stores() as (cache, store):

        async def cached(*notes: str) -> bool:
            await fill(cache, store, "creator", fan)
            read = await cache.read("creator", fan)
            shown = read.recent.decoded().notes if read is not None else None
            return shown is not None and [one.content for one in shown or ()] == list(notes)

        assert await corrected.wait_for(partial(cached, HATE))
        for change, text in ((noted(4, content=LOVE, replaces="e2"), LOVE), (noted(5), None)):
            await corrected.publish(*of(fan, [change]))
            await corrected.drained()
            expected = [LOVE] if text else [noted(5)["content"], LOVE]
            assert await corrected.wait_for(partial(cached, *expected))
        await corrected.publish(*of(fan, [unsent(6, "e2", "note"), unsent(7, "e5", "note")]))
        await corrected.drained()
        assert await corrected.wait_for(cached)
        log = [entry for _, entry in await store.history("creator", fan, 100)]
    assert [entry.kind for entry in log if entry.text is not None] == ["message", "message"]


async def test_a_correction_is_told_without_what_it_says(corrected: Pipeline) -> None:
    fan = "told"
    await corrected.publish(*of(fan, [said(1, content=HATE)]))
    await corrected.drained()
    await corrected.publish(*of(fan, [edit(2, "e1", LOVE)]))
    await corrected.drained()

    async def told() -> list[Any]:
        updates = await corrected.records(MEMORY_UPDATES.name)
        found = [decode_update(one.value) for one in updates]
        own = [one for one in found if one.fan_id == fan]
        assert not [one for one in updates if LOVE.encode() in one.value]
        return own if len(own) == 2 else []

    first, second = await corrected.wait_for(told)
    assert {"recentMessages", "emotionalState", "engagementMetrics"} <= set(second.views)
    assert (set(first.signals), second.signals) == ({"refund"}, msgspec.UNSET)


async def test_an_edit_that_raises_a_signal_is_told_so_once(corrected: Pipeline) -> None:
    fan = "signals"
    for events in ([said(1)], [edit(2, "e1", HATE)], [said(3)], [edit(4, "e2", LOVE)]):
        await corrected.publish(*of(fan, events))
        await corrected.drained()

    async def told() -> list[Any]:
        updates = await corrected.records(MEMORY_UPDATES.name)
        found = [decode_update(one.value) for one in updates]
        own = sorted((one.version, one) for one in found if one.fan_id == fan)
        return [one.signals for _, one in own] if len(own) == 4 else []

    when = said(1)["timestamp"]
    raised = {"refund": SignalAt("explicit", when, 1)}
    nothing = msgspec.UNSET
    assert await corrected.wait_for(told) == [nothing, raised, nothing, nothing]
    async with corrected.stores() as (_, store):
        found = await shown(store, fan)
    assert found is not None
    assert "signals" not in found["emotionalState"]


async def test_a_history_that_is_too_long_is_not_corrected_by_half(corrected: Pipeline) -> None:
    fan = "long"
    # Below the bound: corrected. One waits for e38, which comes beyond the bound: left out.
    early = [said(1), said(2), unsent(3, "e1"), unsent(4, "e38")]
    await corrected.publish(*of(fan, [*early, *(said(n) for n in range(5, 25))]))
    await corrected.drained()
    await corrected.publish(*of(fan, [said(n) for n in range(25, 40)]))
    await corrected.drained()
    await corrected.publish(*of(fan, [edit(50, "e2", LOVE), unsent(51, "e2"), said(52)]))
    await corrected.drained()
    async with corrected.stores() as (_, store):
        read = await store.read("creator", fan)
    assert read is not None
    numbers = [2, *range(5, 38), 39, 52]
    assert [one.event_id for one in read.entries] == [f"e{number}" for number in numbers]
    assert read.state.engagement.messages == len(numbers)
    letters = [letter for letter, _ in await corrected.dead_letters()]
    assert sorted((one.field, one.reason) for one in letters) == [
        ("refersTo", TOO_LONG),
        ("replaces", TOO_LONG),
    ]
    (aside,) = await corrected.fetch("SELECT reason FROM quarantine")
    assert aside["reason"] == TOO_LONG
    report = await verify(corrected.settings, processes=1)
    assert (report.differences, report.quarantined) == ((), 1)


async def test_a_rebuild_gives_the_same_and_goes_on_from_there(corrected: Pipeline) -> None:
    # As a worker of the release before facts writes its rows.
    await corrected.fetch("UPDATE interaction SET told = false WHERE told RETURNING subject")
    assert (await verify(corrected.settings, processes=1)).differences
    await diff(corrected.settings, processes=1)
    # What comes while the next generation is built is folded by it as it comes.
    late = [
        said(70, content=LOVE),
        unsent(71, "e70"),
        edit(72, "e2", "At last."),
        unsent(73, "e74"),
    ]
    await corrected.publish(*of("random 0", late), *of("random 1", [*late, said(74)]))
    await corrected.drained()
    before = await corrected.states()
    await rebuild(corrected.settings, processes=1)
    assert await corrected.states(2) == before
    await corrected.publish(*of("clean edited", [unsent(9, "e2")]))
    await corrected.drained()
    report = await verify(corrected.settings, processes=1)
    assert report.differences == ()
    async with corrected.stores() as (_, store):
        assert await shown(store, "clean edited") == await shown(store, "clean unsent")
