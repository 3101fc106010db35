"""PersonalityProfile."""

from math import exp
from typing import Any

from pytest import approx, mark

from schemas.context import PersonalityProfile, Punctuation, ResponseSpeed
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from tests.views.interactions import NOON, WHO, known, like, message, remember
from views import personality
from views.decay import largest

DAYS_30 = 30 * DAY_MS


def rendered(*entries: JournalEntry) -> PersonalityProfile:
    return personality.render(known(*entries), WHO, NOON)


def said(time: int = NOON, **features: Any) -> JournalEntry:
    return message(time, TextFeatures(**features))


def test_the_largest_decayed_tone_wins() -> None:
    old = [said(NOON, tone={"formal": 1.0})] * 3
    new = [said(NOON + 2 * DAYS_30, tone={"flirty": 1.0})]
    assert rendered(*old).tone == "formal"
    assert rendered(*old, *new).tone == "flirty"


def test_tone_is_casual_until_three_messages_and_without_any_mark() -> None:
    assert rendered(*[said(tone={"flirty": 1.0})] * 2).tone == "casual"
    assert rendered(*[said(tone={"flirty": 1.0})] * 3).tone == "flirty"
    assert rendered(*[said()] * 3).tone == "casual"


def test_emoji_frequency_is_a_decayed_share_of_messages() -> None:
    document = rendered(said(NOON - DAYS_30, emojis=("🔥", "🔥")), said(NOON))
    assert document.emoji_frequency == approx(0.5 / 1.5)


@mark.parametrize(
    ("length", "preference"), [(39, "short"), (40, "medium"), (159, "medium"), (160, "long")]
)
def test_length_has_the_thresholds_of_the_page(length: int, preference: str) -> None:
    assert rendered(said(length=length)).message_length_preference == preference


def test_length_follows_what_is_recent() -> None:
    document = rendered(said(NOON - 4 * DAYS_30, length=1000), said(NOON, length=10))
    # (1000/16 + 10) / (1/16 + 1) = 68.2
    assert document.message_length_preference == "medium"


def punctuation(ended: int, proper: int, bare: int) -> Punctuation:
    texts = [said(punctuated=True, cased=True)] * (ended - proper)
    texts += [said(punctuated=True, capitalised=True, cased=True)] * proper
    return rendered(*texts, *[said(cased=True)] * bare).punctuation_style


@mark.parametrize(
    ("ended", "proper", "bare", "style"),
    [
        (2, 0, 8, "minimal"),
        (3, 0, 7, "casual"),
        (10, 7, 0, "casual"),
        (10, 8, 0, "formal"),
        (8, 8, 2, "formal"),
    ],
)
def test_punctuation_has_the_thresholds_of_the_page(
    ended: int, proper: int, bare: int, style: str
) -> None:
    assert punctuation(ended, proper, bare) == style


def test_a_script_without_case_needs_only_end_punctuation() -> None:
    assert rendered(said(punctuated=True, cased=False)).punctuation_style == "formal"


def test_preferred_emojis_are_the_five_used_most_counting_recent_uses_more() -> None:
    document = rendered(
        said(NOON - 3 * DAYS_30, emojis=("😀",) * 6),
        said(NOON, emojis=("🔥", "🔥", "👍🏽", "👩‍👩‍👧", "🇫🇷", "😘")),
    )
    assert document.preferred_emojis == ("🔥", "🇫🇷", "👍🏽", "👩‍👩‍👧", "😘")


def test_a_favourite_survives_thousands_of_emojis_used_once() -> None:
    strangers = [chr(0x1F300 + i) for i in range(600)]
    entries = [
        said(NOON + i, emojis=(strangers[i % 600], "\u2764\ufe0f", strangers[(i * 7) % 600]))
        for i in range(1000)
    ]
    state = remember(*entries).personality
    assert len(state.emojis) == personality.EMOJIS_KEPT_MAX
    assert largest(state.emojis, 1) == ["\u2764\ufe0f"]


def test_a_new_emoji_takes_the_place_and_the_count_of_the_smallest() -> None:
    twice = [chr(0x1F300 + i) for i in range(31)] * 2
    state = remember(said(NOON, emojis=(*twice, "🔥")), said(NOON, emojis=("😘",))).personality
    assert len(state.emojis) == personality.EMOJIS_KEPT_MAX
    assert "🔥" not in state.emojis
    # The smallest had one use, the new one adds its own: two uses, in two messages.
    assert state.emojis["😘"] == approx(state.weight)


def test_a_sequence_longer_than_any_emoji_is_not_counted() -> None:
    monster = "\u200d".join("👩" * 50)
    assert rendered(said(emojis=(monster, "🔥"))).preferred_emojis == ("🔥",)


def answered(*gaps: int) -> ResponseSpeed:
    entries = []
    for number, gap in enumerate(gaps):
        start = NOON + number * 2 * DAY_MS
        entries += [message(start, sender="creator"), message(start + gap)]
    return rendered(*entries).response_speed


@mark.parametrize(
    ("gap", "speed"),
    [
        (0, "instant"),
        (MINUTE_MS - 1, "instant"),
        (MINUTE_MS, "quick"),
        (15 * MINUTE_MS - 1, "quick"),
        (15 * MINUTE_MS, "moderate"),
        (2 * HOUR_MS - 1, "moderate"),
        (2 * HOUR_MS, "slow"),
        (DAY_MS, "slow"),
    ],
)
def test_response_speed_has_the_thresholds_of_the_page(gap: int, speed: str) -> None:
    assert answered(*[gap] * 5) == speed


def test_response_speed_is_moderate_below_five_responses() -> None:
    assert answered(*[SECOND_MS] * 4) == "moderate"


def test_widely_spread_responses_are_variable() -> None:
    assert answered(2_000, 2_000, 60_000, HOUR_MS, HOUR_MS) == "variable"
    assert answered(30_000, 30_000, 60_000, 150_000, 150_000) == "quick"
    # Middles of their bins: 36.7 s and 367 s, ten times apart; 36.7 s and 520 s, fourteen times.
    assert answered(30_000, 30_000, 60_000, 300_000, 300_000) == "quick"
    assert answered(30_000, 30_000, 60_000, 450_000, 450_000) == "variable"


def test_confidence_grows_with_fan_messages_alone() -> None:
    document = rendered(*[said()] * 20, message(sender="creator"), like())
    assert document.confidence_score == approx(1 - exp(-1))
    assert document.interaction_count == 22


def test_it_is_calibrated_by_the_newest_fan_message() -> None:
    assert rendered(like(NOON), said(NOON + 1), said(NOON - 1)).last_calibrated == (
        "2024-11-12T12:00:00.001Z"
    )
    assert rendered(like(NOON)).last_calibrated == "2024-11-12T12:00:00.000Z"


def test_the_creators_writing_is_not_the_fans_style() -> None:
    shout = TextFeatures(tone={"formal": 1.0}, emojis=("🔥",), length=500, punctuated=True)
    assert remember(message(NOON, shout, sender="creator")).personality == personality.State()
