"""FanPreferences."""

from collections.abc import Callable
from math import exp
from statistics import median

from hypothesis import given
from hypothesis import strategies as st
from pytest import approx, mark

from schemas.context import CommunicationPreferences, FanPreferences
from schemas.journal import JournalEntry
from schemas.text_features import Sentiment, TextFeatures
from schemas.times import DAY_MS, HOUR_MS
from tests.views.interactions import NOON, WHO, known, like, message, purchase, remember, tip, view
from views import preferences

DAYS_60 = 60 * DAY_MS


def rendered(*entries: JournalEntry, now: int = NOON) -> FanPreferences:
    return preferences.render(known(*entries), WHO, now)


def patterns(*entries: JournalEntry, now: int = NOON) -> set[str]:
    return set(rendered(*entries, now=now).purchase_patterns)


def about(*topics: str, time: int = NOON, label: Sentiment = "neutral") -> JournalEntry:
    return message(time, TextFeatures(topics=topics, sentiment=label))


@mark.parametrize(("kind", "weight"), [(view, 1), (like, 2), (tip, 5), (purchase, 8)])
def test_each_act_on_content_has_its_weight(
    kind: Callable[..., JournalEntry], weight: float
) -> None:
    found = rendered(kind(content_type="video")).content_preferences
    assert found == {"video": approx(1 - exp(-weight / 10))}


def test_content_preferences_halve_in_60_days() -> None:
    found = rendered(purchase(content_type="video"), now=NOON + DAYS_60).content_preferences
    assert found == {"video": approx(1 - exp(-0.4))}


def test_maps_stand_strongest_first() -> None:
    document = rendered(like(content_type="a"), purchase(content_type="b"), view(content_type="c"))
    assert list(document.content_preferences) == ["b", "a", "c"]


def test_of_more_than_64_content_types_the_smallest_goes_first() -> None:
    many = [like(content_type=f"type-{i:02d}") for i in range(64)]
    document = rendered(*many, view(content_type="weakest"), purchase(content_type="strongest"))
    assert len(document.content_preferences) == 64
    assert "weakest" not in document.content_preferences
    assert "type-00" not in document.content_preferences
    assert "type-01" in document.content_preferences
    assert "strongest" in document.content_preferences


def test_topics_count_each_fan_message_and_a_complaint_counts_against() -> None:
    found = rendered(
        about("food", "cars"), about("food"), about("cars", label="negative")
    ).topic_interests
    assert found == {"food": approx(1 - exp(-2 / 5)), "cars": approx(1 - exp(-0.5 / 5))}


def test_a_disliked_topic_is_at_zero_not_below() -> None:
    assert rendered(about("cars", label="negative")).topic_interests == {"cars": 0.0}


def test_thousands_of_complaints_overflow_nothing() -> None:
    found = rendered(*[about("cars", label="negative")] * 9000).topic_interests
    assert found == {"cars": 0.0}


def test_the_creators_topics_are_not_the_fans() -> None:
    text = TextFeatures(topics=("food",))
    assert rendered(message(NOON, text, sender="creator")).topic_interests == {}


def test_buying_often_shows_as_repeat_and_frequent() -> None:
    assert "repeat_buyer" not in patterns(*[purchase()] * 2)
    assert "frequent_buyer" not in patterns(*[purchase()] * 3)
    four = [purchase()] * 4
    assert {"repeat_buyer", "frequent_buyer"} <= patterns(*four)
    assert "frequent_buyer" not in patterns(*four, now=NOON + DAY_MS)
    assert "frequent_buyer" in patterns(*four * 2, now=NOON + 30 * DAY_MS)
    assert "frequent_buyer" not in patterns(*[purchase()] * 7, now=NOON + 30 * DAY_MS)


@given(st.lists(st.one_of(st.integers(0, 6000), st.integers(999, 1001)), min_size=1, max_size=9))
def test_big_and_small_spenders_are_told_by_the_median_purchase(amounts: list[int]) -> None:
    found = patterns(*(purchase(amount=amount) for amount in amounts))
    assert ("big_spender" in found) == (median(amounts) >= 5000)
    assert ("small_spender" in found) == (median(amounts) < 1000)


def test_three_tips_make_a_tipper_but_no_spender() -> None:
    assert patterns(*[tip(amount=9000)] * 2) == set()
    assert patterns(*[tip(amount=9000)] * 3) == {"tipper"}


@mark.parametrize(
    ("hour", "name"),
    [(18, "evening_buyer"), (23, "evening_buyer"), (0, "night_buyer"), (5, "night_buyer")],
)
def test_habits_need_60_percent_of_three_purchases(hour: int, name: str) -> None:
    then = NOON - 12 * HOUR_MS + hour * HOUR_MS
    assert name in patterns(purchase(then), purchase(then), purchase(then), purchase(), purchase())
    assert name not in patterns(purchase(then), purchase(then), purchase(), purchase())
    assert name not in patterns(purchase(then), purchase(then))


@mark.parametrize(("days", "weekend"), [(3, False), (4, True), (5, True), (6, False)])
def test_the_weekend_is_saturday_and_sunday(days: int, weekend: bool) -> None:
    tuesday = NOON
    found = patterns(*[purchase(tuesday + days * DAY_MS)] * 3)
    assert ("weekend_buyer" in found) == weekend


def test_a_type_that_is_half_of_all_purchases_is_named() -> None:
    video, photo = purchase(content_type="video"), purchase(content_type="photo")
    assert "buys:video" in patterns(video, video, photo, purchase())
    assert "buys:photo" not in patterns(video, video, photo, purchase())
    assert "buys:video" not in patterns(video, video)


def test_a_favourite_type_is_found_among_many_bought_once() -> None:
    rare = [purchase(content_type=f"rare-{i}") for i in range(40)]
    favourite = [purchase(content_type="set")] * 3
    entries = [entry for one in rare for entry in (one, favourite[0])]
    assert "buys:set" in patterns(*favourite, *entries)
    assert len(remember(*favourite, *entries).preferences.bought) == preferences.BOUGHT_MAX


def test_a_buyer_lapses_after_60_days_without_a_purchase() -> None:
    two = [purchase(), purchase()]
    assert "lapsed_buyer" not in patterns(*two, now=NOON + DAYS_60 - 1)
    assert "lapsed_buyer" in patterns(*two, now=NOON + DAYS_60)
    assert "lapsed_buyer" not in patterns(two[0], now=NOON + 2 * DAYS_60)
    assert "lapsed_buyer" in patterns(*two, message(NOON + 2 * DAYS_60), now=NOON)


def habits(*entries: JournalEntry, now: int = NOON) -> CommunicationPreferences:
    return rendered(*entries, now=now).communication_preferences


def test_the_preferred_window_needs_ten_messages_and_ties_go_to_the_earliest() -> None:
    late = message(NOON + 10 * HOUR_MS)
    assert habits(*[late] * 9).preferred_response_time is None
    assert habits(*[late] * 10).preferred_response_time == "20:00-00:00 UTC"
    assert habits(*[late] * 5, *[message(NOON)] * 5).preferred_response_time == "12:00-16:00 UTC"


@mark.parametrize(
    ("count", "frequency"),
    [
        (1, "rare"),
        (2, "rare"),
        (3, "weekly"),
        (14, "weekly"),
        (15, "daily"),
        (60, "daily"),
        (61, "several_per_day"),
    ],
)
def test_message_frequency_is_a_decayed_rate(count: int, frequency: str) -> None:
    # r = count * ln 2 / 14: 0.1 a day is 2.02 messages, 0.7 is 14.1, 3 is 60.6.
    assert habits(*[message()] * count).message_frequency == frequency


def test_a_steady_daily_writer_is_daily_and_gets_rare_with_silence() -> None:
    days = [message(NOON + day * DAY_MS) for day in range(120)]
    newest = NOON + 119 * DAY_MS
    assert habits(*days, now=newest).message_frequency == "daily"
    assert habits(*days, now=newest + 60 * DAY_MS).message_frequency == "rare"


def test_gifs_are_liked_from_two_or_a_tenth_of_messages() -> None:
    assert not habits(*[message()] * 3).likes_gifs
    assert not habits(message(gif=True), *[message()] * 10).likes_gifs
    assert habits(message(gif=True), *[message()] * 9).likes_gifs
    assert habits(*[message(NOON, TextFeatures(gif=True))] * 2, *[message()] * 30).likes_gifs
    assert not habits(message(gif=True, sender="creator")).likes_gifs


def test_emojis_are_liked_from_thirty_percent() -> None:
    smile = message(NOON, TextFeatures(emojis=("😀",)))
    assert habits(*[smile] * 3, *[message()] * 7).likes_emojis
    assert not habits(*[smile] * 2, *[message()] * 7).likes_emojis


def test_only_what_moves_the_view_updates_it() -> None:
    assert rendered(
        tip(NOON), like(NOON + 1), message(NOON + 2, sender="creator")
    ).last_updated == ("2024-11-12T12:00:00.000Z")
    assert rendered(tip(NOON), view(NOON + 1, "photo")).last_updated == "2024-11-12T12:00:00.001Z"
