"""The offers: what was offered to a fan, and what became of it."""

from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from pytest import mark, raises

from schemas.context import OfferState
from schemas.details import NO_DETAILS, Attachment, Details, Mention
from schemas.errors import InvalidInput
from schemas.journal import JournalEntry
from schemas.times import DAY_MS, HOUR_MS, render_time
from tests.views.corrected import context_of, delete, edit, refund
from tests.views.interactions import (
    NOON,
    WHO,
    histories,
    known,
    like,
    locked,
    message,
    purchase,
    purchase_of,
    remember,
    tip,
)
from views import offers
from views.explain import context_as_of, explain, value_of
from views.state import encode, moved

PITCH = Mention("pitched", "beach", 1500)
HOUR = NOON + HOUR_MS
DAY = NOON + DAY_MS


def shown(*entries: JournalEntry, now: int | None = None) -> dict[str, OfferState]:
    fan = known(*entries)
    at = max(entry.time for entry in entries) if now is None else now
    return {one.id: one for one in offers.render(fan, WHO, at)}


def only(*entries: JournalEntry, now: int | None = None) -> OfferState:
    (one,) = shown(*entries, now=now).values()
    return one


def told(sender: Any, time: int, *mentions: Mention, event_id: str = "x") -> JournalEntry:
    return msgspec.structs.replace(
        message(time, sender=sender, event_id=event_id), details=Details(offers=mentions)
    )


def test_a_locked_message_is_an_offer_with_its_price() -> None:
    one = only(locked(NOON, 1500))
    assert (one.status, one.pitches, one.price, one.currency) == ("pitched", 1, 15.0, "USD")
    assert one.first_pitched == one.last_pitched == render_time(NOON)
    assert one.id == f"message:{offers.hashed('a')}"


def test_a_fans_message_with_a_price_and_a_creators_without_one_offer_nothing() -> None:
    priced = msgspec.structs.replace(message(), details=Details(price=5))
    assert shown(priced, message(sender="creator"), like()) == {}


def test_the_same_pictures_are_the_same_offer_in_every_message() -> None:
    first = locked(NOON, 2000, files="p-1 p-2")
    again = locked(DAY, 1500, event_id="b", files="p-2 p-1")
    one = only(first, again)
    assert (one.pitches, one.price) == (2, 15.0), "the newest price counts"
    assert (one.first_pitched, one.last_pitched) == (render_time(NOON), render_time(DAY))
    assert only(again, first) == one
    assert len(shown(first, locked(DAY, 1500, event_id="b", files="p-3"))) == 2


def test_attachments_with_prices_of_their_own_are_offers_of_their_own() -> None:
    attached = (Attachment("photo", "p-1", 300), Attachment("video", "p-2", 900))
    sent = message(sender="creator", event_id="a")
    sent = msgspec.structs.replace(sent, details=Details(attachments=attached))
    assert sorted(one.price or 0 for one in shown(sent).values()) == [3.0, 9.0]
    assert {one.status for one in shown(sent, purchase_of("a")).values()} == {"bought"}


def test_what_was_bought_is_bought_whichever_came_first() -> None:
    pitched, paid = locked(NOON, None, PITCH), purchase_of("a", HOUR, 1200)
    one = only(pitched, paid)
    assert (one.id, one.status, one.purchases, one.paid) == ("beach", "bought", 1, 12.0)
    assert only(paid, pitched) == one
    assert only(pitched, paid, now=HOUR + 90 * DAY_MS).status == "bought"
    assert only(pitched, paid, locked(DAY, None, PITCH, event_id="b")).status == "bought"


def test_a_purchase_by_name_needs_no_pitch() -> None:
    one = only(purchase_of(None, NOON, 900, Mention("bought", "beach")))
    assert (one.status, one.pitches, one.paid) == ("bought", 0, 9.0)


@mark.parametrize("paid", [tip(HOUR), purchase(HOUR), purchase_of("other", HOUR)])
def test_what_is_not_for_the_message_buys_nothing(paid: JournalEntry) -> None:
    assert only(locked(), paid).status == "pitched"


def test_a_week_without_a_purchase_is_a_no_until_the_next_pitch() -> None:
    assert only(locked(), now=NOON + 7 * DAY_MS - 1).status == "pitched"
    assert only(locked(files="p"), now=NOON + 7 * DAY_MS).status == "declined"
    again = locked(NOON + 8 * DAY_MS, event_id="b", files="p")
    assert only(locked(files="p"), again).status == "pitched"
    assert only(locked(), message(NOON + 8 * DAY_MS), now=NOON).status == "declined", "never back"


def test_a_no_of_the_fans_counts_until_the_next_pitch() -> None:
    no = told("fan", HOUR, Mention("declined", "beach"))
    pitched = locked(NOON, None, PITCH)
    assert only(pitched, no).status == only(no, pitched).status == "declined"
    assert only(pitched, no, locked(DAY, None, PITCH, event_id="b")).status == "pitched"
    of_the_creator = told("creator", HOUR, Mention("declined", "beach"))
    assert only(pitched, of_the_creator).status == "pitched"
    assert shown(no) == {}, "what was never offered"


@mark.parametrize(
    "kept",
    [
        told("creator", HOUR, Mention("delivered", "beach")),
        locked(HOUR, None, PITCH),
        purchase_of(None, HOUR, 900, Mention("bought", "beach")),
    ],
)
def test_a_promise_stands_until_it_is_kept(kept: JournalEntry) -> None:
    promise = told("creator", NOON, Mention("promised", "beach"))
    assert only(promise, now=NOON + 90 * DAY_MS).status == "promised"
    for order in ((promise, kept), (kept, promise)):
        assert all(one.status != "promised" for one in shown(*order).values())
    again = told("creator", DAY, Mention("promised", "beach"), event_id="y")
    assert only(promise, kept, again).status == "promised"


def test_the_documents_word_for_a_fan_without_offers_is_none() -> None:
    assert "offers" not in context_of([message(), purchase()], NOON)
    assert context_of([locked()], NOON)["offers"][0]["status"] == "pitched"


def test_corrections_give_the_offers_of_a_log_without_mistakes() -> None:
    pitched, paid = locked(NOON, None, PITCH), purchase_of("a", HOUR)

    def found(*log: JournalEntry) -> list[dict[str, Any]]:
        offered: list[dict[str, Any]] = context_of([*log], DAY).get("offers", [])
        return offered

    assert found(pitched, message(), delete("a")) == []
    assert found(pitched, paid, refund("p", 1500)) == found(pitched)
    assert found(pitched, paid, refund("p", 500))[0]["paid"] == 10.0
    other = Details(replaces="a", price=700, offers=(Mention("pitched", "shower"),))
    changed = edit("a", metadata=b'{"offers":["shower"]}')
    changed = msgspec.structs.replace(changed, details=other)
    (one,) = found(pitched, changed)
    assert (one["id"], one["price"], one["lastPitched"]) == ("shower", 7.0, render_time(NOON))


def test_as_of_then_and_why_it_moved() -> None:
    history = list(enumerate([locked(NOON, None, PITCH), purchase_of("a", DAY)]))
    then = context_as_of(*WHO, history, HOUR)
    assert then is not None
    assert [one.status for one in then.offers or ()] == ["pitched"]
    told = explain(history, "offers.bought", NOON, DAY)
    assert [(one.kind, one.contribution) for one in told.contributions] == [("purchase", 1.0)]
    assert explain(history, "offers.declined", None, NOON + 5 * DAY_MS).difference == 0
    unsold = history[:1]
    assert explain(unsold, "offers.declined", NOON, NOON + 7 * DAY_MS).silence == 1
    with raises(InvalidInput):
        value_of("offers.sold")


def test_the_state_names_no_message_and_no_file() -> None:
    state = encode(remember(locked(files="file-of-sam", event_id="sam-17"), purchase_of("sam-18")))
    assert b"sam" not in state


@given(st.integers())
def test_many_offers_stay_within_their_bound(seed: int) -> None:
    rng = Random(seed)
    entries: list[JournalEntry] = []
    for number in range(200):
        time, name = NOON + rng.randrange(10**9), f"offer-{rng.randrange(90)}"
        entries.append(
            rng.choice(
                (
                    locked(time, None, Mention("pitched", name, 100), event_id=str(number)),
                    purchase_of(f"unknown-{number}", time),
                    told("fan", time, Mention("declined", name)),
                )
            )
        )
    state = remember(*entries).offers
    assert len(state.offers) == offers.OFFERS_MAX
    assert all(len(one.messages) <= offers.PITCHES_KEPT_MAX for one in state.offers.values())
    offered = {
        one.id
        for entry in entries
        for one in (entry.details or NO_DETAILS).offers
        if one.act == "pitched"
    }
    kept = [name for name, one in state.offers.items() if one.pitches]
    assert len(kept) == min(offers.OFFERS_MAX, len(offered)), "what nobody offered goes first"


def test_what_is_bought_elsewhere_pushes_no_offer_out() -> None:
    posts = [purchase_of(f"post-{number}", HOUR + number) for number in range(100)]
    assert only(locked(NOON, None, PITCH), *posts).id == "beach"


@given(histories(max_size=12))
def test_what_is_not_announced_is_not_changed(history: list[JournalEntry]) -> None:
    *before, last = history
    if before and "offers" not in moved([last], first=False):
        now = max(entry.time for entry in history)
        assert shown(*before, now=now) == shown(*history, now=now)
