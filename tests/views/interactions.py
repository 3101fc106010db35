"""Interactions for tests of the views: short builders and hypothesis strategies."""

from typing import Any, get_args

import msgspec
from hypothesis import strategies as st

from schemas.details import (
    Attachment,
    Details,
    Mention,
    OfferAct,
    Reference,
    RefundReason,
    StatedFact,
    Subscription,
    SubscriptionEvent,
)
from schemas.events import Author, Kind, Sender
from schemas.journal import JournalEntry
from schemas.text_features import (
    Emotion,
    Evidence,
    Fact,
    FactKind,
    Sentiment,
    SignalKind,
    TextFeatures,
    Tone,
)
from schemas.times import DAY_MS, HOUR_MS, MINUTE_MS
from views import facts, messages, notes
from views.state import Fan, FanState, fold

NOON = 1_731_412_800_000
"""2024-11-12T12:00:00Z, a Tuesday."""
WHO = ("creator", "fan")
KINDS = tuple(kind for kind in get_args(Kind) if kind != "delete")
"""What stands in a corrected history."""
YEAR_1990 = 631_152_000_000
YEAR_2100 = 4_102_444_800_000


def message(
    time: int = NOON,
    text: TextFeatures | None = None,
    *,
    sender: Sender = "fan",
    event_id: str = "m",
    gif: bool = False,
    metadata: bytes | None = None,
    author: Author | None = None,
) -> JournalEntry:
    return JournalEntry(
        event_id,
        "message",
        time,
        sender,
        author,
        content="text",
        gif=gif,
        metadata=metadata,
        text=text or TextFeatures(length=4, words=1),
    )


def purchase(time: int = NOON, amount: int = 2000, content_type: str | None = None) -> JournalEntry:
    return JournalEntry("p", "purchase", time, amount=amount, content_type=content_type)


def locked(
    time: int = NOON,
    price: int | None = 1500,
    *offers: Mention,
    event_id: str = "a",
    files: str = "",
) -> JournalEntry:
    """A message of the creator's that costs something, or names offers."""
    attached = tuple(Attachment("photo", one) for one in files.split())
    details = Details(price=price, attachments=attached, offers=offers)
    sent = message(time, sender="creator", event_id=event_id)
    return msgspec.structs.replace(sent, details=details)


def purchase_of(
    message: str | None, time: int = NOON, amount: int = 1500, *offers: Mention
) -> JournalEntry:
    """A purchase of what a message offered, or of offers by name."""
    about = None if message is None else Reference(message, "message")
    bought = purchase(time, amount)
    return msgspec.structs.replace(bought, details=Details(refers_to=about, offers=offers))


def tip(time: int = NOON, amount: int = 500, content_type: str | None = None) -> JournalEntry:
    return JournalEntry("t", "tip", time, amount=amount, content_type=content_type)


def like(time: int = NOON, content_type: str | None = None) -> JournalEntry:
    return JournalEntry("l", "like", time, content_type=content_type)


def view(time: int = NOON, content_type: str | None = None) -> JournalEntry:
    return JournalEntry("v", "view", time, content_type=content_type)


def remember(*entries: JournalEntry) -> FanState:
    """The state after these events, in log order."""
    state = None
    for position, entry in enumerate(entries):
        state = fold(state, entry, position)
    assert state is not None
    return state


def note(
    time: int = NOON, content: str = "likes boats", event_id: str = "n", **more: Any
) -> JournalEntry:
    return JournalEntry(event_id, "note", time, "creator", content=content, **more)


def telling(
    value: str,
    kind: FactKind = "pet",
    time: int = NOON,
    event_id: str = "m",
    sender: Sender = "fan",
) -> JournalEntry:
    """A message that tells a fact."""
    return message(time, TextFeatures(facts=(Fact(kind, value),)), sender=sender, event_id=event_id)


def known(*entries: JournalEntry) -> Fan:
    """What a view renders after these events, in log order."""
    placed = list(enumerate(entries))
    recent, written = messages.newest_entries(placed), notes.newest(placed)
    told = facts.telling(placed)
    return Fan(remember(*entries), recent, notes=written, telling=told)


TOPICS = ("cars", "food", "gaming", "music", "travel")
CONTENT_TYPES = ("photo", "video", "ppv")
EMOJIS = ("😀", "🔥", "❤️", "👍🏽", "👩‍👩‍👧", "🇫🇷", "1️⃣")


EVIDENCE = get_args(Evidence)


told = st.builds(
    Fact,
    st.sampled_from((*get_args(FactKind), "pet", "place")),
    st.sampled_from(("Rex", "rex", "Lisbon", "New  York", "new york")),
)
stated = st.builds(
    StatedFact,
    st.sampled_from(("pet", "place")),
    st.sampled_from((None, "Rex", "Lisbon", "NEW york")),
).flatmap(
    lambda one: st.sampled_from(
        (one, one if one.value is None else msgspec.structs.replace(one, wrong=True))
    )
)


@st.composite
def texts(draw: st.DrawFn) -> TextFeatures:
    """Features as the analyser may give them: every field anywhere in its documented bounds."""
    weights = st.integers(1, 10_000).map(lambda part: part / 10_000)
    length = draw(st.integers(0, 10_000))
    return TextFeatures(
        sentiment=draw(st.sampled_from(get_args(Sentiment))),
        score=draw(st.integers(-10_000, 10_000)) / 10_000,
        confidence=draw(weights),
        emotions=draw(st.dictionaries(st.sampled_from(get_args(Emotion)), weights)),
        topics=tuple(sorted(draw(st.sets(st.sampled_from(TOPICS))))),
        tone=draw(st.dictionaries(st.sampled_from(get_args(Tone)), weights)),
        language=draw(st.sampled_from(("en", "fr", "und"))),
        emojis=tuple(draw(st.lists(st.sampled_from(EMOJIS), max_size=32))),
        length=length,
        words=draw(st.integers(0, length)),
        capitalised=draw(st.booleans()),
        punctuated=draw(st.booleans()),
        cased=draw(st.booleans()),
        gif=draw(st.booleans()),
        facts=tuple(draw(st.lists(told, max_size=2))),
        signals=draw(
            st.one_of(
                st.just({}),
                st.dictionaries(st.sampled_from(get_args(SignalKind)), st.sampled_from(EVIDENCE)),
            )
        ),
    )


any_time = st.one_of(
    st.integers(YEAR_1990, YEAR_2100),
    st.integers(NOON, NOON + 3 * HOUR_MS),
    st.integers(NOON - 90 * DAY_MS, NOON + 90 * DAY_MS),
    st.integers(0, 500).map(lambda minutes: NOON + minutes * MINUTE_MS),
)
NEAR = st.integers(0, 40_000).map(lambda minutes: NOON + minutes * 60_011)
"""Within four weeks: what has decayed for decades differs in its last bits by the order of sums."""


IDS = ("a", "b", "c", "7", "8")
"""Of messages that purchases may be for."""
mentions = st.builds(
    Mention,
    st.sampled_from(get_args(OfferAct)),
    st.sampled_from(("beach", "shower", "\u5199\u771f")),
    st.one_of(st.none(), st.integers(1, 10_000)),
)


@st.composite
def details_of(draw: st.DrawFn, kind: Kind) -> Details:
    """Whatever an event of this kind may have besides."""
    optional = st.one_of(st.none(), st.integers(1, 10_000))
    return Details(
        origin=draw(st.sampled_from(("direct", "direct", "broadcast", "system"))),
        attachments=(Attachment("photo", draw(st.sampled_from((None, "p-1", "p-2"))), 300),)
        if kind == "message" and draw(st.booleans())
        else (),
        currency=draw(st.sampled_from((None, "USD", "JPY", "KWD"))),
        price=draw(optional) if kind == "message" else None,
        sequence=draw(st.one_of(st.none(), st.integers(-5, 5))),
        reason=draw(st.sampled_from(get_args(RefundReason))) if kind == "refund" else "refund",
        subscription=Subscription(
            draw(st.sampled_from(get_args(SubscriptionEvent))),
            draw(st.booleans()),
            draw(st.one_of(st.none(), any_time)),
        )
        if kind == "subscription"
        else None,
        refers_to=Reference(
            draw(st.sampled_from(IDS)), draw(st.sampled_from((None, "message", "tip")))
        )
        if kind == "purchase" and draw(st.booleans())
        else None,
        offers=tuple(draw(st.lists(mentions, max_size=3)))
        if kind in ("message", "purchase")
        else (),
    )


@st.composite
def entries(draw: st.DrawFn, times: st.SearchStrategy[int] = any_time) -> JournalEntry:
    kind = draw(st.sampled_from(("message", "message", "message", *KINDS)))
    time = draw(times)
    number = draw(st.integers(0, 10**9))
    event_id = draw(st.sampled_from((f"event-{number}", str(number), *IDS)))
    details = draw(
        details_of(kind) if kind == "subscription" else st.one_of(st.none(), details_of(kind))
    )
    if kind == "message":
        return JournalEntry(
            event_id,
            kind,
            time,
            draw(st.sampled_from(("fan", "fan", "creator"))),
            draw(st.sampled_from((None, *get_args(Author)))),
            content=None if details is not None and details.attachments else "text",
            gif=draw(st.booleans()),
            metadata=draw(st.sampled_from((None, b'{"mood":1}'))),
            text=None
            if details is not None and details.attachments
            else draw(st.one_of(st.none(), texts())),
            details=details,
        )
    if kind == "note":
        size = draw(st.sampled_from((1, 1, 7_000, 10_000)))
        fact = draw(st.one_of(st.none(), stated))
        return note(
            time,
            "n" * size,
            event_id,
            author=draw(st.sampled_from((None, "chatter"))),
            details=None if fact is None else Details(fact=fact),
        )
    paid = kind not in ("like", "view")
    return JournalEntry(
        event_id,
        kind,
        time,
        draw(st.sampled_from(("fan", "fan", "creator"))),
        amount=draw(st.one_of(st.integers(0, 100_000_000), st.integers(0, 10_000)))
        if paid
        else None,
        content_type=draw(st.sampled_from((None, *CONTENT_TYPES))),
        details=details,
    )


def histories(
    *, max_size: int = 30, times: st.SearchStrategy[int] = any_time
) -> st.SearchStrategy[list[JournalEntry]]:
    """Events of one subject in log order."""
    return st.lists(entries(times), min_size=1, max_size=max_size)
