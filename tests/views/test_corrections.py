"""Corrections: what stands of a history, and that its views are those of a log without mistakes."""

from collections.abc import Sequence

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import mark

from schemas.details import Attachment, Details
from schemas.journal import JournalEntry
from schemas.times import MINUTE_MS
from tests.views.corrected import (
    context_of,
    corrections,
    delete,
    differences,
    edit,
    logs,
    refund,
    state_of,
)
from tests.views.interactions import NEAR, NOON, like, message, purchase, tip
from views.corrections import AWAITED_MAX, as_corrected, correct, is_correction, token
from views.explain import context_as_of
from views.state import encode

LATER = NOON + 10 * MINUTE_MS


def standing(*log: JournalEntry) -> list[JournalEntry]:
    return [one.entry for one in correct(log).stands]


def hello(event_id: str = "m", time: int = NOON, **more: object) -> JournalEntry:
    return msgspec.structs.replace(message(time), event_id=event_id, **more)


def test_what_was_deleted_never_stood_there() -> None:
    assert standing(hello(), like(), delete("m")) == [like()]
    assert standing(delete("m"), hello(), like()) == [like()]
    assert standing(hello(), delete("m"), delete("m", event_id="again"), like()) == [like()]


def test_a_delete_without_a_type_means_the_message_that_has_the_id() -> None:
    paid = msgspec.structs.replace(tip(), event_id="m")
    assert standing(paid, hello(), delete("m")) == [paid]
    assert standing(paid, delete("m"), hello()) == [paid]
    assert standing(paid, delete("m")) == []
    assert standing(paid, hello(), delete("m", "tip")) == [hello()]


def test_an_edited_message_keeps_all_but_its_text() -> None:
    details = Details("broadcast", (Attachment("photo", "p", 100),), "EUR", 300, sequence=4)
    sent = hello(sender="creator", author="ai", metadata=b'{"a":1}', details=details)
    (shown,) = standing(sent, edit("m", time=LATER, model="x"))
    assert shown == msgspec.structs.replace(sent, content="edited", text=None, model="x")
    (shown,) = standing(edit("m", time=LATER, metadata=b'{"b":2}', content_type="video"), sent)
    assert (shown.metadata, shown.content_type, shown.time) == (b'{"b":2}', "video", NOON)


def test_what_an_edit_asks_in_another_currency_leaves_no_price_of_the_former() -> None:
    sent = hello(details=Details("direct", (Attachment("photo", "p", 100),), "EUR", 300))
    new = msgspec.structs.replace(edit("m"), details=Details(price=5, currency="JPY", replaces="m"))
    (shown,) = standing(sent, new)
    assert shown.details == Details("direct", (Attachment("photo", "p"),), "JPY", 5)


def test_of_several_edits_the_newest_counts_in_any_order() -> None:
    first, last = edit("m", event_id="e1", content="1"), edit("e1", event_id="e2", time=LATER)
    for log in ((hello(), first, last), (last, first, hello()), (first, hello(), last)):
        assert [one.content for one in standing(*log)] == ["edited"]
    late = edit("m", event_id="e3", time=NOON + 2, content="between")
    assert [one.content for one in standing(hello(), first, last, late)] == ["edited"]


def test_without_the_edit_the_message_stands_as_it_was() -> None:
    assert standing(hello(), edit("m"), delete("e")) == [hello()]
    # What hangs on a deleted edit hangs on nothing.
    assert standing(hello(), edit("m"), edit("e", event_id="e2"), delete("e")) == [hello()]


def test_an_edit_of_nothing_is_nothing() -> None:
    assert standing(edit("m"), like()) == [like()]
    assert standing(hello(), delete("m"), edit("m"), like()) == [like()]
    assert standing(edit("p"), purchase(), like()) == [purchase(), like()]
    circle = (edit("e2", event_id="e1"), edit("e1", event_id="e2"), edit("e3", event_id="e3"))
    assert standing(*circle, like()) == [like()]


@mark.parametrize("kind", [None, "purchase"])
def test_a_refund_takes_its_payment_back(kind: None) -> None:
    whole, part = refund("p", 2000, kind), refund("p", 500, kind)
    for log in ([purchase(), whole], [whole, purchase()]):
        assert standing(*log) == [msgspec.structs.replace(whole, amount=0)]
    for log in ([purchase(), part], [part, purchase()]):
        found = {one.kind: one.amount for one in standing(*log)}
        assert found == {"purchase": 1500, "refund": 0}


def test_what_was_not_paid_lowers_the_revenue() -> None:
    (left,) = standing(purchase(), refund("p", 2500))
    assert left.amount == 500
    assert standing(refund("x", 500)) == [refund("x", 500)]
    other = refund("p", 500, currency="JPY")
    assert [one.amount for one in standing(purchase(), other)] == [2000, 500]
    assert standing(purchase(), delete("p"), refund("p", 2000))[0].amount == 0


def test_without_the_refund_the_payment_counts_again() -> None:
    assert standing(purchase(), refund("p", 2000), delete("r", "refund")) == [purchase()]


def test_a_refunded_purchase_shows_as_a_refund_and_nowhere_else() -> None:
    log = [hello(), purchase(NOON + 5), refund("p", 2000, time=LATER)]
    found, without = context_of(log, LATER), context_of([hello()], LATER)
    assert found["preferences"].pop("purchasePatterns") == ["refunds"]
    assert without["preferences"].pop("purchasePatterns") == []
    assert found == without


@mark.parametrize("amount", [0, 2000, 2500])
def test_a_refund_in_another_currency_leaves_its_rest(amount: int) -> None:
    paid = msgspec.structs.replace(purchase(), details=Details(currency="JPY"))
    for log in ([hello(), paid, refund("p", amount, currency="JPY")], [refund("p", amount)]):
        assert differences(log) == []


@given(logs(times=NEAR))
def test_the_views_are_those_of_the_definitions(log: list[JournalEntry]) -> None:
    assert differences(log) == []


def in_order(log: Sequence[JournalEntry]) -> list[JournalEntry]:
    """As if every correction had come first."""
    return [*filter(is_correction, log), *(one for one in log if not is_correction(one))]


def places_of_ties(log: Sequence[JournalEntry]) -> bool:
    """Whether two edits of one time are told apart by their order alone."""
    edits = [one for one in log if one.details is not None and one.details.replaces is not None]
    ages = [(one.time, one.details and one.details.sequence) for one in edits]
    return len(set(ages)) < len(ages)


@given(logs(), st.randoms())
def test_when_a_correction_comes_changes_nothing(log: list[JournalEntry], rng: object) -> None:
    if places_of_ties(log):
        return
    later = [one for one in log if not is_correction(one)]
    for one in filter(is_correction, log):
        later.insert(rng.randrange(len(later) + 1), one)  # type: ignore[attr-defined]
    now = max(one.time for one in log)
    assert context_of(in_order(log), now) == context_of(log, now) == context_of(later, now)


@given(logs())
def test_as_of_now_is_the_live_memory(log: list[JournalEntry]) -> None:
    now = max(one.time for one in log)
    past = context_as_of("creator", "fan", as_corrected(list(enumerate(log))), now)
    known = context_of(log, now)
    assert (past is None) == (known is None)
    if past is not None:
        assert msgspec.json.decode(msgspec.json.encode(past)) == known


@given(logs())
def test_what_awaits_nothing_is_not_corrected_by_what_comes(log: list[JournalEntry]) -> None:
    """A fan whose state awaits no such id goes on without a look at the history."""
    for count in range(len(log)):
        before, new = correct(log[:count]), log[count]
        if is_correction(new) or token(new.event_id) in before.awaited:
            continue
        after = correct(log[: count + 1])
        assert [one.entry for one in after.stands] == [*(one.entry for one in before.stands), new]
        assert after.awaited == before.awaited


@given(logs(), st.integers(0, 14))
def test_beyond_its_head_a_history_is_left_as_it_is(log: list[JournalEntry], head: int) -> None:
    whole, found = correct(log[:head]), correct(log, head)
    tail = [one for one in found.stands if one.place >= head]
    assert found.stands[: len(found.stands) - len(tail)] == whole.stands
    assert {one.place for one in tail} | {at for at in found.refused if at >= head} == set(
        range(min(head, len(log)), len(log))
    )
    assert not any(is_correction(one.entry) for one in tail)


def test_so_many_corrections_may_wait_and_no_more() -> None:
    waiting = [delete(f"m{n}", event_id=f"d{n}") for n in range(AWAITED_MAX + 1)]
    found = correct([*waiting, hello("m0"), hello(f"m{AWAITED_MAX}")])
    assert list(found.refused) == [AWAITED_MAX]
    assert [one.entry.event_id for one in found.stands] == [f"m{AWAITED_MAX}"]
    # Who has found what it names makes room.
    more = correct([*waiting[:-1], hello("m0"), waiting[-1]])
    assert not more.refused


@given(logs(), corrections())
@settings(max_examples=50)
def test_a_state_stays_small_and_readable(log: list[JournalEntry], more: JournalEntry) -> None:
    state = state_of([*log, more])
    assert state is None or len(encode(state)) < 8192
