"""What was wrong in the field, with its right value: from the JSON that came to what is remembered.

Every value in the inputs is invented.
"""

import json
from typing import Any

from pytest import mark

from analysis import analyse
from schemas.context import MemoryContext
from schemas.events import parse_interaction
from schemas.journal import JournalEntry
from schemas.times import DAY_MS, render_time
from tests.views.interactions import NOON, WHO, known
from views.context import render_context

MINUTE = 60_000
LATER = NOON + 4000 * DAY_MS


def told(*events: dict[str, Any], currency: str = "USD") -> MemoryContext:
    """The memory of these events, a minute apart unless they say when, as of the newest."""
    entries = []
    for place, event in enumerate(events):
        wire = {
            "fanId": WHO[1],
            "creatorId": WHO[0],
            "timestamp": render_time(NOON + place * MINUTE),
        }
        parsed = parse_interaction(
            json.dumps(wire | event).encode(), NOON + 4000 * DAY_MS, currency
        )
        entries.append(
            JournalEntry(
                parsed.event_id or f"interactions-0:{place}",
                parsed.kind,
                parsed.time,
                parsed.sender,
                parsed.author,
                parsed.content,
                parsed.amount,
                parsed.content_type,
                parsed.gif,
                parsed.metadata,
                analyse([parsed.content])[0] if parsed.content is not None else None,
                details=parsed.details,
            )
        )
    fan = known(*entries)
    return render_context(*WHO, fan.state, fan.recent, max(e.time for e in entries), currency)


def said(content: str | None = "hello", **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": content} | more


def paid(amount: float, kind: str = "tip", **more: Any) -> dict[str, Any]:
    return {"type": kind, "amount": amount} | more


def test_f01_html_gives_the_memory_of_its_text() -> None:
    plain = ["Hello there, I really loved it.", "It was so good.\nThank you!", "You & me forever?"]
    html = [
        "<p>Hello there, I really loved it.</p>",
        "<p>It was so good.<br />\nThank you!</p>",
        '<p>You &amp; <a href="https://example.com/x">me</a> forever?</p>',
    ]
    assert told(*(said(one, format="html") for one in html)) == told(*map(said, plain))


@mark.parametrize("content", [None, "", " \u200b"])
def test_f02_a_picture_without_a_word_is_an_answer_and_nothing_else(
    content: str | None,
) -> None:
    context = told(
        said("I am so happy, love you!!"),
        said(content, sender="creator", attachments=[{"type": "photo"}], price=25),
        said(content, attachments=[{"type": "photo", "id": "p-1"}]),
    )
    metrics = context.engagement_metrics
    assert (metrics.total_messages, metrics.avg_response_time_seconds) == (3, 60.0)
    assert len(context.emotional_state.sentiment_history) == 1
    assert context.personality_profile.confidence_score < 0.05, "of one message"
    offer, picture = context.recent_messages[1:]
    assert (offer.content, offer.metadata["price"]) == ("", 25.0)
    assert picture.metadata["attachments"] == [{"type": "photo", "id": "p-1"}]


@mark.parametrize("reason", ["refund", "chargeback"])
def test_f03_what_is_paid_back_is_no_revenue(reason: str) -> None:
    context = told(paid(100), paid(100, "refund", reason=reason))
    assert context.engagement_metrics.total_revenue == 0
    assert context.preferences.purchase_patterns == (f"{reason}s",)
    assert context.last_interaction == render_time(NOON), "a bank is no fan"


def test_a_refund_of_more_than_was_paid_shows_as_it_is() -> None:
    assert told(paid(10), paid(25.5, "refund")).engagement_metrics.total_revenue == -15.5


def test_f12_what_the_creator_likes_says_nothing_of_the_fan() -> None:
    like = {"type": "like", "sender": "creator", "metadata": {"contentType": "photo"}}
    context = told(like, like | {"type": "view"})
    metrics = context.engagement_metrics
    assert (metrics.engagement_score, metrics.last_interaction) == (0.0, None)
    assert context.preferences.content_preferences == {}
    assert context.personality_profile.interaction_count == 0
    assert metrics.created_at == context.last_interaction == render_time(NOON)
    heard = said()
    assert told(heard, like | {"timestamp": render_time(NOON)}) == told(heard)


def test_f13_each_currency_is_summed_for_itself() -> None:
    context = told(
        paid(50, currency="USD"),
        paid(5000, currency="JPY"),
        paid(1_500_000, currency="IDR"),
        paid(0.1),
        paid(0.2),
        paid(1.234, currency="KWD"),
    )
    metrics = context.engagement_metrics
    assert metrics.total_revenue == 50.3
    assert metrics.revenue_by_currency == {"IDR": 1_500_000.0, "JPY": 5000.0, "KWD": 1.234}


def test_f13_a_weak_currency_weighs_what_it_is_worth() -> None:
    yen = told(paid(5000, currency="JPY")).engagement_metrics.engagement_score
    assert told(paid(30)).engagement_metrics.engagement_score < yen
    assert yen < told(paid(40)).engagement_metrics.engagement_score


def test_what_names_no_currency_is_in_the_default_one() -> None:
    context = told(paid(5000), paid(20, currency="USD"), currency="JPY")
    assert context.engagement_metrics.total_revenue == 5000.0
    assert context.engagement_metrics.revenue_by_currency == {"USD": 20.0}


def test_f19_a_heart_with_the_selector_and_without_is_one() -> None:
    bare, dressed = "\u2764", "\u2764\ufe0f"
    context = told(said(f"i {bare} u"), said(f"i {dressed} u"), said(bare), said(dressed * 2))
    assert context.personality_profile.preferred_emojis == (dressed,)


def test_f29_renewing_is_a_timers_habit() -> None:
    night = NOON + 14 * 3_600_000
    renewals = [
        paid(
            9.99,
            "subscription",
            metadata={"event": "renewed", "contentType": "subscription"},
            timestamp=render_time(night + month * 30 * DAY_MS),
        )
        for month in range(6)
    ]
    context = told(said(), *renewals)
    metrics = context.engagement_metrics
    assert (metrics.total_revenue, metrics.total_purchases) == (59.94, 0)
    assert context.preferences.purchase_patterns == ()
    assert context.preferences.content_preferences == {}
    assert context.last_interaction == render_time(NOON)
    subscription = context.preferences.subscription
    assert subscription is not None
    assert (subscription.status, subscription.since) == ("active", render_time(night))


def test_f30_a_trial_is_no_purchase() -> None:
    until = render_time(NOON + 7 * DAY_MS)
    start = {"event": "started", "trial": True, "until": until}
    context = told(paid(0, "subscription", metadata=start))
    assert context.engagement_metrics.engagement_score == 0
    assert context.preferences.purchase_patterns == ()
    subscription = context.preferences.subscription
    assert subscription is not None
    assert (subscription.status, subscription.until) == ("trial", until)


def test_what_was_cancelled_runs_until_it_was_paid_for() -> None:
    until = render_time(NOON + 30 * DAY_MS)
    started = paid(9.99, "subscription", metadata={"event": "started", "until": until})
    cancelled = paid(0, "subscription", metadata={"event": "cancelled"})
    subscription = told(started, cancelled).preferences.subscription
    assert subscription is not None
    assert (subscription.status, subscription.until) == ("cancelled", until)


def test_f36_blasts_neither_look_like_the_fan_nor_push_out_what_was_said() -> None:
    blasts = [
        said(f"Offer {day}", sender="creator", origin="broadcast", price=10) for day in range(60)
    ]
    context = told(said("I am Sam"), said("I am a baker"), said("My birthday is in May"), *blasts)
    assert context.last_interaction == render_time(NOON + 2 * MINUTE)
    shown = [message.content for message in context.recent_messages]
    assert shown[:3] == ["I am Sam", "I am a baker", "My birthday is in May"]
    assert shown[3:] == [f"Offer {day}" for day in range(55, 60)]
    assert context.recent_messages[-1].metadata["origin"] == "broadcast"
    assert context.engagement_metrics.total_messages == 63
    assert context.personality_profile.interaction_count == 3


def test_an_answer_after_a_blast_is_no_answer_to_it() -> None:
    blast = said("Offer", sender="creator", origin="broadcast")
    assert told(blast, said()).engagement_metrics.avg_response_time_seconds is None


def test_messages_of_one_time_stand_in_their_platforms_order() -> None:
    at = {"timestamp": render_time(NOON)}
    by_sequence = told(said("two", sequence=2, **at), said("one", sequence=1, **at))
    assert [message.content for message in by_sequence.recent_messages] == ["one", "two"]
    by_number = told(said("two", eventId="10", **at), said("one", eventId="9", **at))
    assert [message.content for message in by_number.recent_messages] == ["one", "two"]
    by_log = told(said("one", eventId="b", **at), said("two", eventId="9", **at))
    assert [message.content for message in by_log.recent_messages] == ["one", "two"]
