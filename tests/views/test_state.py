"""FanState: folding all views, storing them, and what holds for any input."""

import random
from math import isclose
from random import Random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import raises

from schemas.details import Mention
from schemas.errors import Misconfigured
from schemas.events import Sender
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import DAY_MS, MINUTE_MS
from tests.views.interactions import (
    NOON,
    any_time,
    histories,
    like,
    locked,
    message,
    purchase,
    purchase_of,
    remember,
)
from views import corrections
from views import state as states
from views.acts import is_fans

ORDERED = {"position", "responses", "updated_at"}
"""What follows log order by definition; `preferences.updated_at` is checked apart."""


def plain(state: states.FanState) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(state)
    return found


@given(histories())
def test_refolding_gives_the_same_bytes(entries: list[JournalEntry]) -> None:
    assert states.encode(remember(*entries)) == states.encode(remember(*entries))


@given(histories())
def test_storing_and_loading_between_events_changes_no_byte(entries: list[JournalEntry]) -> None:
    kept = None
    for position, entry in enumerate(entries):
        kept = states.decode(states.encode(states.fold(kept, entry, position)))
    assert kept is not None
    assert states.encode(kept) == states.encode(remember(*entries))


@given(histories(max_size=20, times=any_time), st.randoms(use_true_random=False))
def test_counts_are_exact_and_decayed_sums_close_in_any_order(
    entries: list[JournalEntry], rng: Random
) -> None:
    by_time = {entry.time: entry for entry in entries}  # equal times go by log order
    once = list(by_time.values())
    again = list(once)
    rng.shuffle(again)
    first, second = remember(*once), remember(*again)
    assert first.preferences.updated_at == second.preferences.updated_at
    _assert_alike(plain(first), plain(second))


def _assert_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() - ORDERED == other.keys() - ORDERED
    for key in one.keys() - ORDERED:
        a, b = one[key], other[key]
        if isinstance(a, dict):
            _assert_alike(a, b)
        elif isinstance(a, float):
            # Signed topic counts may cancel: their terms are at most 2, so 1e-9 of them it is.
            assert isclose(a, b, rel_tol=1e-9, abs_tol=1e-9), key
        else:
            assert a == b, key


@given(histories())
def test_the_state_is_finite_non_negative_and_small(entries: list[JournalEntry]) -> None:
    data = states.encode(remember(*entries))
    assert len(data) < 8192
    _assert_bounded(msgspec.json.decode(data))


def _assert_bounded(value: Any, path: str = "") -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            _assert_bounded(child, f"{path}.{key}")
    elif isinstance(value, list):
        for child in value:
            _assert_bounded(child, path)
    elif isinstance(value, int | float):
        signed = any(
            name in path for name in ("scores", "tail_score", "topics", ".revenue", ".currencies")
        )
        assert value >= 0 or signed or path == ".position", path
        assert abs(value) < 1e15, path
    else:
        assert isinstance(value, str), path  # a float that is not finite would be null


def test_the_worst_state_stays_within_its_limit() -> None:
    rng = random.Random(7)
    wide = [chr(0x20000 + i) * 60 + f"{i:04d}" for i in range(200)]
    state = None
    for position in range(6000):
        time = NOON + position * MINUTE_MS * rng.randrange(1, 100)
        text = TextFeatures(
            topics=tuple(rng.sample(wide, 16)),
            emojis=tuple(chr(0x1F300 + rng.randrange(500)) * 16 for _ in range(4)),
            emotions={"joy": 0.1234, "love": 0.9, "fear": 0.4567},
            tone={"casual": 0.3, "flirty": 0.7},
            score=-0.1234,
            length=10_000,
            sentiment=rng.choice(("positive", "negative")),
        )
        offer = Mention("pitched", rng.choice(wide), rng.randrange(10**12))
        entry = rng.choice(
            (
                message(time, text),
                purchase(time, rng.randrange(10**8), rng.choice(wide)),
                locked(time, None, offer, event_id=str(position)),
                locked(time, None, Mention("promised", offer.id), Mention("delivered", offer.id)),
                purchase_of(None, time, rng.randrange(10**12), Mention("bought", offer.id)),
            )
        )
        state = states.fold(state, entry, position)
    assert state is not None
    data = states.encode(state)
    assert 30_000 < len(data) <= states.STATE_BYTES_MAX
    assert states.encode(states.decode(data)) == data


@given(st.floats(), st.floats(), histories(max_size=5))
def test_features_outside_their_bounds_do_not_spoil_the_state(
    score: float, weight: float, entries: list[JournalEntry]
) -> None:
    strange = TextFeatures(score=score, emotions={"joy": weight}, tone={"formal": weight})
    state = remember(*entries, message(NOON, strange))
    assert states.encode(states.decode(states.encode(state))) == states.encode(state)
    _assert_bounded(plain(state))


def test_keys_that_are_too_long_are_not_kept() -> None:
    long = "x" * 65
    state = remember(message(text=TextFeatures(topics=(long,))), purchase(content_type=long))
    assert (state.preferences.topics, state.preferences.content) == ({}, {})
    assert state.preferences.bought == {}


def test_a_typical_state_takes_less_than_4_kb() -> None:
    rng = random.Random(11)
    topics = [f"topic-{i}" for i in range(12)]
    entries: list[JournalEntry] = []
    for i in range(400):
        text = TextFeatures(
            sentiment="positive",
            score=0.1234,
            emotions={"joy": 0.7, "love": 0.2},
            topics=tuple(rng.sample(topics, 2)),
            tone={"friendly": 0.8},
            emojis=tuple(rng.sample("😀🔥😂😘🥰💋🎉😉🙈🙏", 2)),
            length=80,
        )
        sender: Sender = rng.choice(("fan", "creator"))
        entries.append(message(NOON + i * 7 * MINUTE_MS, text, sender=sender))
        if i % 10 == 0:
            entries.append(purchase(NOON + i * 7 * MINUTE_MS, 1999, "video"))
    assert len(states.encode(remember(*entries))) < 4096


def test_extreme_jumps_in_time_underflow_to_nothing_and_the_newest_event_counts() -> None:
    ancient, future = 631_152_000_000, 4_102_444_799_999
    text = TextFeatures(topics=("cars",), emotions={"joy": 1.0}, emojis=("🔥",), length=10)
    state = remember(message(future, text), message(ancient, text), message(future, text))
    assert state.personality.messages == 3
    assert 2 <= state.personality.weight < 4
    assert 2 <= state.engagement.activity < 4
    assert 2 <= state.preferences.topics["cars"] < 4


def test_the_position_is_that_of_the_newest_event_folded() -> None:
    state = states.fold(None, like(), 41)
    assert states.fold(state, like(NOON - DAY_MS), 57).position == 57


@given(histories())
def test_every_part_has_all_that_is_the_fans(entries: list[JournalEntry]) -> None:
    """A part is passed over only by what it would have ignored."""
    state, apart = states.FanState(), states.FanState()
    for position, entry in enumerate(entries):
        states.fold(state, entry, position)
        if is_fans(entry.kind, entry.sender) and not corrections.is_correction(entry):
            for name, part in states.PARTS.items():
                part.fold(getattr(apart, name), entry, position)
    corrected = any(
        entry.kind == "refund" and corrections.is_correction(entry) for entry in entries
    )
    for name in states.PARTS if not corrected else ():
        assert getattr(state, name) == getattr(apart, name), name


def test_the_version_names_every_view() -> None:
    assert states.VIEW_VERSION.split() == [
        *(f"{name}:{module.VERSION}" for name, module in states.PARTS.items()),
        f"corrections:{corrections.VERSION}",
        states.STORED_AS,
    ]
    assert list(states.PARTS) == list(states.FanState.__struct_fields__[3:])


@settings(max_examples=20)
@given(st.binary())
def test_what_is_no_state_is_refused_with_the_way_out(data: bytes) -> None:
    for decode in (states.decode, states.decode_scored):
        with raises(Misconfigured) as refused:
            decode(b"[" + data)
        assert "rebuild" in refused.value.advice


@given(histories())
def test_what_a_score_is_made_of_is_the_same_in_the_whole_state(
    entries: list[JournalEntry],
) -> None:
    state = remember(*entries)
    scored = states.decode_scored(states.encode(state))
    assert (scored.known_since, scored.engagement) == (state.known_since, state.engagement)
