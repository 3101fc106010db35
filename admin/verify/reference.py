"""The documents once more, straight from the definitions: plain sums over all events, no state.

Slow and simple on purpose, and written without the views' own code, so that agreeing with it means
something (an import rule holds it). `fanmemory verify` reckons some fans by it, and the tests of
the views many histories. Ambiguities of the page (ties, quantiles, windows) follow the views'
documentation.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import blake2b
from math import exp, isclose, log
from statistics import mean, median
from typing import Any

from msgspec.structs import replace

from schemas.details import NO_DETAILS, StatedFact, Subscription
from schemas.journal import JournalEntry
from schemas.money import DIGITS
from schemas.rates import DOLLARS, OTHERS
from schemas.text_features import TextFeatures

DAY = 86_400_000
EPSILON = 1e-9
"""A sum of weights that misses a threshold by less than this reaches it."""
KEPT_MAX = 64
"""Content types and topics that preferences keeps weights of; beyond, only the larger ones."""
BOUGHT_MAX = 16
EMOJIS_KEPT_MAX = 32
OFFERS_KEPT_MAX = 32
PITCHES_KEPT_MAX = 8
"""Messages of one offer, of the newest."""
UNANSWERED_KEPT_MAX = 64
"""Beyond, an answer that comes late may count for more than it was one to."""
CLOSE = 1e-9
"""Relative and absolute: floats that are added up in another order."""


def stamp(ms: int) -> str:
    moment = datetime.fromtimestamp(ms // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def features(entry: JournalEntry) -> TextFeatures:
    return entry.text or TextFeatures()


def origin(event: JournalEntry) -> str:
    return event.details.origin if event.details else "direct"


def currency_of(event: JournalEntry) -> str | None:
    return event.details.currency if event.details else None


def subscription_of(event: JournalEntry) -> Any:
    found = event.details.subscription if event.details else None
    return found or Subscription("renewed")


def corrected(log: Sequence[JournalEntry]) -> list[tuple[int, JournalEntry]]:
    """(place in the log, event) of all that stands, corrected. What a correction means is looked
    for in the whole log, each time anew."""
    gone = {meant(log, event) for event in log if event.kind == "delete"}
    edits, refunds = {}, {}
    for place, event in enumerate(log):
        if place in gone:
            continue
        if is_edit(event):
            edits[place] = edit_of(log, place, gone)
        elif event.kind == "refund":
            payment = meant(log, event)
            # What was paid in one currency can't be taken back in another.
            if payment is not None and money_of(event) == money_of(log[payment]):
                refunds[place] = payment
    standing = []
    for place, event in enumerate(log):
        if place in gone or event.kind == "delete" or is_edit(event):
            continue
        texts = [edit for edit, message in edits.items() if message == place]
        back = [refund for refund, payment in refunds.items() if payment == place]
        if texts:
            event = with_text(event, log[max(texts, key=lambda edit: age(log, edit))])
        elif back:
            left = (event.amount or 0) - sum(log[refund].amount or 0 for refund in back)
            if left <= 0 and event.kind != "subscription":
                continue
            event = replace(event, amount=max(0, left))
        elif place in refunds:
            # All that is too much is put down to the last one.
            paid = refunds[place]
            others = [refund for refund, payment in refunds.items() if payment == paid]
            more = sum(log[one].amount or 0 for one in others) - (log[paid].amount or 0)
            event = replace(event, amount=max(0, more) if place == others[-1] else 0)
        standing.append((place, event))
    return standing


def is_edit(event: JournalEntry) -> bool:
    return (event.details or NO_DETAILS).replaces is not None


def meant(log: Sequence[JournalEntry], correction: JournalEntry) -> int | None:
    """The place of what a correction names, if it is there."""
    details = correction.details or NO_DETAILS
    kinds: str
    if details.replaces is not None:
        wanted, kinds = details.replaces, correction.kind
    elif details.refers_to is None:
        return None
    else:
        wanted, kinds = (
            details.refers_to.event_id,
            details.refers_to.kind
            or (
                "purchase tip subscription"
                if correction.kind == "refund"
                else "message purchase tip subscription refund like view note"
            ),
        )
    for kind in kinds.split():
        for place, event in enumerate(log):
            if (event.kind, event.event_id) == (kind, wanted):
                return place
    return None


def edit_of(log: Sequence[JournalEntry], edit: int, gone: Collection[int | None]) -> int | None:
    """The message that an edit is one of, maybe through other edits."""
    at: int | None = edit
    for _ in log:
        at = meant(log, log[at]) if at is not None else None
        if at is None or at in gone:
            return None
        if not is_edit(log[at]):
            return at
    return None


def age(log: Sequence[JournalEntry], place: int) -> tuple[int, float, int]:
    sequence = (log[place].details or NO_DETAILS).sequence
    return log[place].time, float("-inf") if sequence is None else sequence, place


def money_of(event: JournalEntry) -> str:
    return currency_of(event) or "USD"


def with_text(message: JournalEntry, edit: JournalEntry) -> JournalEntry:
    old, new = message.details or NO_DETAILS, edit.details or NO_DETAILS
    kept = replace(old, attachments=new.attachments or old.attachments)
    if new.price is not None:
        kept = replace(kept, price=new.price)
    if new.price is not None or any(one.price is not None for one in new.attachments):
        if money_of(message) != money_of(edit):
            free = tuple(replace(one, price=None) for one in old.attachments)
            kept = replace(kept, price=new.price, attachments=new.attachments or free)
        kept = replace(kept, currency=new.currency)
    if edit.metadata is not None:
        kept = replace(kept, offers=new.offers, fact=new.fact)
        message = replace(message, metadata=edit.metadata, content_type=edit.content_type)
    if edit.metadata is not None or new.attachments:
        message = replace(message, gif=edit.gif)
    return replace(message, content=edit.content, text=edit.text, details=kept)


def of_the_fan(events: Iterable[JournalEntry]) -> list[JournalEntry]:
    """Without the creator's likes and views, and without notes, which are nothing that the fan did;
    and without refunds that name their payment, which only say something about that."""
    return [
        event
        for event in events
        if (event.sender == "fan" or event.kind not in ("like", "view"))
        and event.kind != "note"
        and not (event.kind == "refund" and names_its_payment(event))
    ]


def dollars(event: JournalEntry) -> float:
    """By the table of the view version, which is a definition and no sum."""
    code = currency_of(event)
    if code is None:
        return (event.amount or 0) / 100
    return float((event.amount or 0) / 10 ** DIGITS[code] * DOLLARS.get(code, OTHERS))


def earned(events: Iterable[JournalEntry]) -> dict[str | None, Decimal]:
    """Per currency that was named; None: of what named none. A refund that names its payment is no
    event of its own: it counts as far as it is more than was paid."""
    sums: dict[str | None, Decimal] = defaultdict(Decimal)
    for event in events:
        if event.kind == "refund" and names_its_payment(event) and not event.amount:
            continue
        if event.kind in ("purchase", "tip", "subscription", "refund"):
            code = currency_of(event)
            amount = Decimal(event.amount or 0).scaleb(-DIGITS[code or "USD"])
            sums[code] += -amount if event.kind == "refund" else amount
    return sums


def names_its_payment(refund: JournalEntry) -> bool:
    return (refund.details or NO_DETAILS).refers_to is not None


def is_act(event: JournalEntry) -> bool:
    if event.kind == "refund" or origin(event) != "direct":
        return False
    timed = event.kind == "subscription" and subscription_of(event).event in ("renewed", "expired")
    return not timed


def fade(entry: JournalEntry, now: int, days: int) -> float:
    return float(2.0 ** (-(now - entry.time) / (days * DAY)))


def share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def is_top(shown: Sequence[str], weights: dict[str, float], limit: int) -> bool:
    """Whether `shown` are the largest weights, largest first; equal ones may change places."""
    ranked = sorted(weights.values(), reverse=True)[:limit]
    found = [weights[key] for key in shown]
    pairs = zip(found, ranked, strict=False)
    return len(found) == len(set(shown)) == len(ranked) and all(
        abs(a - b) <= EPSILON for a, b in pairs
    )


def response_gaps(events: Sequence[JournalEntry]) -> list[int]:
    """In log order, from the creator's newest message to the fan's first after it."""
    gaps = []
    waiting: int | None = None
    for event in events:
        if event.kind != "message" or origin(event) != "direct":
            continue
        if event.sender == "creator":
            waiting = event.time if waiting is None else max(waiting, event.time)
        elif waiting is not None and event.time >= waiting:
            if event.time - waiting <= DAY:
                gaps.append(event.time - waiting)
            waiting = None
    return gaps


def engagement(every: Sequence[JournalEntry], now: int, currency: str = "USD") -> dict[str, Any]:
    events = of_the_fan(every)
    activity = 0.0
    for event in events:
        money = dollars(event)
        said = event.sender == "fan" and origin(event) == "direct"
        weight = {
            "message": 1.0 if said else 0.0,
            "like": 0.5,
            "view": 0.2,
            "tip": 4 + log(1 + money),
            "purchase": 5 + log(1 + money),
            "subscription": 0.0,
            "refund": 0.0,
        }[event.kind]
        activity += weight * fade(event, now, 14)
    kinds = Counter(event.kind for event in events)
    gaps = response_gaps(events)
    sums = earned(every)
    others = {code: float(sum_) for code, sum_ in sums.items() if code not in (None, currency)}
    acts = [event.time for event in events if is_act(event)]
    found = {
        "engagementScore": 1 - exp(-activity / 12),
        "totalMessages": kinds["message"],
        "totalPurchases": kinds["purchase"],
        "totalRevenue": float(sums[None] + sums[currency]),
        "avgResponseTimeSeconds": mean(gaps) / 1000 if gaps else None,
        "lastInteraction": stamp(max(acts)) if acts else None,
        "createdAt": stamp(first_time(every)),
        "updatedAt": stamp(events[-1].time if events else first_time(every)),
    }
    return found | ({"revenueByCurrency": others} if others else {})


def first_time(every: Sequence[JournalEntry]) -> int:
    """Of what the fan has part in; else, of a fan known by the creator's likes, of these."""
    return min(event.time for event in of_the_fan(every) or every)


def mean_sentiment(written: Sequence[JournalEntry]) -> float:
    """s over all fan messages, newest first by (event time, place in the log)."""
    newest = sorted(enumerate(written), key=lambda item: (-item[1].time, -item[0]))
    weights = [2 ** (-k / 3) for k in range(len(newest))]
    scores = [features(event).score for _, event in newest]
    return share(sum(w * s for w, s in zip(weights, scores, strict=True)), sum(weights))


def emotional_state(events: Sequence[JournalEntry], now: int) -> dict[str, Any]:
    written = own_words(events)
    s = mean_sentiment(written)
    score = engagement(events, now)["engagementScore"]
    good = [event.time for event in written if features(event).sentiment == "positive"]
    good += [event.time for event in events if event.kind in ("tip", "purchase")]
    bad = [event.time for event in written if features(event).sentiment == "negative"]
    in_order = sorted(written, key=lambda event: event.time)[-20:]
    said = signals(written)
    found = {
        "currentSentiment": "positive"
        if s > 0.15 + EPSILON
        else "negative"
        if s < -0.15 - EPSILON
        else "neutral",
        "sentimentHistory": [
            {"sentiment": features(event).sentiment, "timestamp": stamp(event.time)}
            for event in in_order
        ],
        "engagementLevel": "high" if score >= 0.66 else "medium" if score >= 0.33 else "low",
        "lastPositiveInteraction": stamp(max(good)) if good else None,
        "lastNegativeInteraction": stamp(max(bad)) if bad else None,
    }
    return found | ({"signals": said} if said else {})


def signals(written: Sequence[JournalEntry]) -> dict[str, Any]:
    found = {}
    for kind in ("distress", "refund", "leaving"):
        told = [
            (event.time, features(event).signals[kind])
            for event in written
            if features(event).signals.get(kind) in ("explicit", "implied")
        ]
        if told:
            newest = max(time for time, _ in told)
            found[kind] = {
                "evidence": min(how for time, how in told if time == newest),
                "timestamp": stamp(newest),
                "count": len(told),
            }
    return found


def dominant_emotions(events: Sequence[JournalEntry]) -> dict[str, float]:
    """The weights of all that may be shown."""
    written = own_words(events)
    newest = max((event.time for event in written), default=0)
    emotions: dict[str, float] = defaultdict(float)
    for event in written:
        for name, weight in features(event).emotions.items():
            emotions[name] += weight * fade(event, newest, 7)
    least = 0.15 * sum(emotions.values()) * (1 - EPSILON)  # the weights may be tiny
    return {name: weight for name, weight in emotions.items() if weight >= least}


def fan_messages(events: Iterable[JournalEntry]) -> list[JournalEntry]:
    return [
        event
        for event in events
        if event.kind == "message" and event.sender == "fan" and origin(event) == "direct"
    ]


def own_words(events: Iterable[JournalEntry]) -> list[JournalEntry]:
    return [event for event in fan_messages(events) if event.content is not None]


def personality(every: Sequence[JournalEntry]) -> dict[str, Any]:
    events = of_the_fan(every)
    written = own_words(events)
    count = len(written)
    newest = max((event.time for event in written), default=0)
    weights = [fade(event, newest, 30) for event in written]
    whole = sum(weights)
    with_emoji = sum(w for event, w in zip(written, weights, strict=True) if features(event).emojis)
    length = share(
        sum(w * features(event).length for event, w in zip(written, weights, strict=True)), whole
    )
    ended = [features(event) for event in written if features(event).punctuated]
    proper = [text for text in ended if text.capitalised or not text.cased]
    if not count:
        punctuation = "casual"
    elif len(ended) / count < 0.3:
        punctuation = "minimal"
    else:
        punctuation = "formal" if len(proper) / count > 0.7 else "casual"
    return {
        "emojiFrequency": share(with_emoji, whole),
        "messageLengthPreference": "medium"
        if not count
        else "short"
        if length < 40 - EPSILON
        else "medium"
        if length < 160 - EPSILON
        else "long",
        "punctuationStyle": punctuation,
        "confidenceScore": 1 - exp(-count / 20),
        "lastCalibrated": stamp(newest or first_time(every)),
        "interactionCount": sum(origin(event) == "direct" for event in events),
    }


def tones(events: Sequence[JournalEntry]) -> dict[str, float]:
    written = own_words(events)
    if len(written) < 3:
        return {"casual": 1.0}
    newest = max(event.time for event in written)
    found = {"casual": 0.0}
    for event in written:
        for name, part in features(event).tone.items():
            found[name] = found.get(name, 0.0) + part * fade(event, newest, 30)
    return found


def emojis(events: Sequence[JournalEntry]) -> dict[str, float]:
    written = own_words(events)
    newest = max((event.time for event in written), default=0)
    found: dict[str, float] = defaultdict(float)
    for event in written:
        for emoji in features(event).emojis:
            found[emoji] += fade(event, newest, 30)
    return found


def purchase_patterns(events: Sequence[JournalEntry], now: int) -> list[str]:
    bought = [event for event in events if event.kind == "purchase"]
    count = len(bought)
    found = []
    if count >= 3:
        found.append("repeat_buyer")
    if sum(fade(event, now, 30) for event in bought) >= 4 - EPSILON:
        found.append("frequent_buyer")
    if count and median(round(100 * dollars(event)) for event in bought) >= 5000:
        found.append("big_spender")
    if count and median(round(100 * dollars(event)) for event in bought) < 1000:
        found.append("small_spender")
    if sum(event.kind == "tip" for event in events) >= 3:
        found.append("tipper")
    if count >= 3:
        moments = [datetime.fromtimestamp(event.time // 1000, UTC) for event in bought]
        if sum(moment.hour >= 18 for moment in moments) / count >= 0.6:
            found.append("evening_buyer")
        if sum(moment.hour < 6 for moment in moments) / count >= 0.6:
            found.append("night_buyer")
        if sum(moment.weekday() >= 5 for moment in moments) / count >= 0.6:
            found.append("weekend_buyer")
        types = Counter(event.content_type for event in bought if event.content_type)
        found += sorted(f"buys:{name}" for name, part in types.items() if part / count >= 0.5)
    if count >= 2 and now - max(event.time for event in bought) >= 60 * DAY:
        found.append("lapsed_buyer")
    reasons = {
        event.details.reason if event.details else "refund"
        for event in events
        if event.kind == "refund"
    }
    found += [f"{reason}s" for reason in ("refund", "chargeback") if reason in reasons]
    return found


def subscription(events: Iterable[JournalEntry]) -> dict[str, Any] | None:
    told = sorted((e for e in events if e.kind == "subscription"), key=lambda event: event.time)
    if not told:
        return None
    newest = told[-1]
    said = subscription_of(newest)
    starts = [event.time for event in told if subscription_of(event).event == "started"]
    paid = [e for e in told if subscription_of(e).event in ("started", "renewed")]
    status, until = "trial" if said.trial else "active", said.until
    if said.event == "cancelled":
        status = "cancelled"
        until = until or (subscription_of(paid[-1]).until if paid else None)
    if said.event == "expired":
        status, until = "expired", until or newest.time
    return {
        "status": status,
        "since": stamp(starts[-1] if starts else told[0].time),
        "until": stamp(until) if until else None,
    }


def preferences(every: Sequence[JournalEntry], now: int) -> dict[str, Any]:
    events = of_the_fan(every)
    written = fan_messages(events)
    content: dict[str, float] = defaultdict(float)
    topics: dict[str, float] = defaultdict(float)
    for event in events:
        gain = {"view": 1, "like": 2, "tip": 5, "purchase": 8}.get(event.kind)
        if gain and event.content_type:
            content[event.content_type] += gain * fade(event, now, 60)
    for event in written:
        unit = -0.5 if features(event).sentiment == "negative" else 1.0
        for topic in features(event).topics:
            topics[topic] += unit * fade(event, now, 60)
    rate = sum(fade(event, now, 14) for event in written) * log(2) / 14
    habits: dict[str, Any] = {}
    if len(written) >= 10:
        windows = Counter(event.time // (4 * 3_600_000) % 6 for event in written)
        best = min(windows, key=lambda window: (-windows[window], window))
        habits["preferredResponseTime"] = f"{best * 4:02d}:00-{(best * 4 + 4) % 24:02d}:00 UTC"
    habits["messageFrequency"] = (
        "several_per_day"
        if rate >= 3 - EPSILON
        else "daily"
        if rate >= 0.7 - EPSILON
        else "weekly"
        if rate >= 0.1 - EPSILON
        else "rare"
    )
    style = personality(every)
    habits["preferredMessageLength"] = style["messageLengthPreference"]
    habits["likesEmojis"] = style["emojiFrequency"] >= 0.3 - EPSILON
    gifs = sum(event.gif or features(event).gif for event in written)
    habits["likesGifs"] = gifs >= 2 or (gifs > 0 and gifs / len(written) >= 0.1)
    moving = [
        event.time
        for event in events
        if event.kind in ("purchase", "tip", "subscription")
        or event in written
        or (event.kind in ("like", "view") and event.content_type)
    ]
    subscribed = subscription(events)
    found = {
        "contentPreferences": {key: 1 - exp(-w / 10) for key, w in content.items()},
        "topicInterests": {key: max(0.0, 1 - exp(-w / 5)) for key, w in topics.items()},
        "purchasePatterns": purchase_patterns(every, now),
        "communicationPreferences": habits,
        "lastUpdated": stamp(max(moving) if moving else first_time(every)),
    }
    return found | ({"subscription": subscribed} if subscribed else {})


def short(id: str) -> str:
    return blake2b(id.encode(), digest_size=6).hexdigest()


def offered_in(event: JournalEntry) -> dict[str, int | None]:
    """What a message of the creator's pitches, and for how much."""
    details = event.details or NO_DETAILS
    if event.kind != "message" or event.sender != "creator":
        return {}
    named = [one for one in details.offers if one.act == "pitched"]
    if named:
        whole = details.price if len(named) == 1 else None
        return {one.id: one.price or whole for one in named}
    own = f"message:{short(event.event_id)}"
    if details.price is not None:
        ids = " ".join(sorted({one.id for one in details.attachments if one.id}))
        return {f"files:{short(ids)}" if ids else own: details.price}
    prices = {one.id: one.price for one in details.attachments if one.price}
    return {f"files:{short(id)}" if id else own: price for id, price in [*prices.items()][:8]}


def said_of_offers(event: JournalEntry, act: str) -> list[str]:
    by = "fan" if act == "declined" else "creator"
    if event.kind != "message" or event.sender != by:
        return []
    return [one.id for one in (event.details or NO_DETAILS).offers if one.act == act]


def bought_by_name(event: JournalEntry) -> list[str]:
    return [one.id for one in (event.details or NO_DETAILS).offers if one.act == "bought"]


def message_paid_for(event: JournalEntry) -> str | None:
    """The id of the message that a purchase without names was for."""
    about = (event.details or NO_DETAILS).refers_to
    if about is None or about.kind not in (None, "message") or bought_by_name(event):
        return None
    return about.event_id


def offers(every: Sequence[JournalEntry], now: int) -> list[dict[str, Any]] | None:
    """What was offered; None where more is known of than is kept."""
    bought = [event for event in every if event.kind == "purchase"]
    pitched = [(name, price, event) for event in every for name, price in offered_in(event).items()]
    names = {name for name, _, _ in pitched} | {
        n for event in bought for n in bought_by_name(event)
    }
    names |= {
        name
        for event in every
        for act in ("promised", "delivered", "declined")
        for name in said_of_offers(event, act)
    }
    waiting = {message_paid_for(event) for event in bought} - {None}
    most = Counter(name for name, _, _ in pitched).most_common(1)
    if len(names) + len(waiting) > OFFERS_KEPT_MAX or (most and most[0][1] > PITCHES_KEPT_MAX):
        return None
    found = []
    for name in names:
        pitches = [(event, price) for one, price, event in pitched if one == name]
        messages = {event.event_id for event, _ in pitches}
        purchases = [
            event
            for event in bought
            if name in bought_by_name(event) or message_paid_for(event) in messages
        ]
        found.append(_offer(name, pitches, purchases, every, now))
    shown = [one for one in found if one is not None]
    return [one for _, one in sorted(shown, key=lambda one: (-one[0], one[1]["id"]))]


def _offer(
    name: str,
    pitches: Sequence[tuple[JournalEntry, int | None]],
    purchases: Sequence[JournalEntry],
    every: Sequence[JournalEntry],
    now: int,
) -> tuple[int, dict[str, Any]] | None:
    """(when something was last heard of it, what is said of it)."""
    newest = {
        act: max((e.time for e in every if name in said_of_offers(e, act)), default=0)
        for act in ("promised", "delivered", "declined")
    }
    last = max((event.time for event, _ in pitches), default=0)
    last_bought = max((event.time for event in purchases), default=0)
    if newest["promised"] and newest["promised"] >= max(newest["delivered"], last, last_bought):
        status = "promised"
    elif purchases:
        status = "bought"
    elif not pitches:
        return None
    elif newest["declined"] >= last or now - last >= 7 * DAY:
        status = "declined"
    else:
        status = "pitched"
    one: dict[str, Any] = {"id": name, "status": status, "pitches": len(pitches)}
    prices = [(event.time, price, money_of(event)) for event, price in pitches if price]
    if prices:
        _, price, one["currency"] = max(prices)
        one["price"] = price / 10 ** DIGITS[one["currency"]]
    if pitches:
        one["firstPitched"] = stamp(min(event.time for event, _ in pitches))
        one["lastPitched"] = stamp(last)
    if purchases:
        _, paid, one["paidIn"] = max((e.time, e.amount or 0, money_of(e)) for e in purchases)
        one["paid"] = paid / 10 ** DIGITS[one["paidIn"]]
        one |= {"purchases": len(purchases), "lastBought": stamp(last_bought)}
    one |= {act: stamp(time) for act, time in newest.items() if time}
    return max(last, last_bought, *newest.values()), one


def inbox(events: Sequence[JournalEntry]) -> dict[str, Any] | None:
    """Who waits; None where more do than are kept one by one."""
    direct = [one for one in events if one.kind == "message" and origin(one) == "direct"]
    answered = max((one.time for one in direct if one.sender == "creator"), default=0)
    waiting = [one.time for one in direct if one.sender == "fan" and one.time > answered]
    if len(waiting) > UNANSWERED_KEPT_MAX:
        return None
    return {"waitingSince": stamp(min(waiting)) if waiting else None, "unanswered": len(waiting)}


def recent_messages(
    creator_id: str, fan_id: str, events: Sequence[JournalEntry]
) -> list[dict[str, Any]]:
    """Without `metadata`."""
    told = [event for event in events if event.kind == "message"]
    direct = [event for event in told if origin(event) == "direct"]
    others = sorted(
        (event for event in told if origin(event) != "direct"), key=lambda event: event.time
    )[-5:]
    # `sorted` keeps equal times in log order, which is that of `told`.
    kept = [event for event in told if event in direct or event in others]
    shown = sorted(kept, key=lambda event: event.time)[-50:]
    for time in {event.time for event in shown}:
        places = [place for place, event in enumerate(shown) if event.time == time]
        group = [shown[place] for place in places]
        said = [event.details.sequence if event.details else None for event in group]
        if None not in said:
            group.sort(key=lambda event: (event.details or NO_DETAILS).sequence or 0)
        elif all(event.event_id.isdecimal() for event in group):
            group.sort(key=lambda event: int(event.event_id))
        for place, event in zip(places, group, strict=True):
            shown[place] = event
    return [
        {
            "id": event.event_id,
            "fanId": fan_id,
            "creatorId": creator_id,
            "content": event.content or "",
            "sender": event.sender,
            "sentiment": features(event).sentiment,
            "topics": list(features(event).topics),
            "timestamp": stamp(event.time),
        }
        for event in shown
    ]


def notes(events: Sequence[JournalEntry]) -> list[dict[str, Any]]:
    written = sorted(
        ((event.time, place, event) for place, event in enumerate(events) if event.kind == "note"),
        key=lambda one: (-one[0], -one[1]),
    )
    shown = []
    for count in range(1, 1 + min(20, len(written))):
        if sum(len(event.content or "") for _, _, event in written[:count]) <= 20_000:
            shown = [event for _, _, event in written[:count]]
    return [
        {"id": event.event_id, "content": event.content or "", "timestamp": stamp(event.time)}
        | ({"author": event.author} if event.author else {})
        for event in shown
    ]


def facts(events: Sequence[JournalEntry]) -> list[dict[str, Any]]:
    def stated(event: JournalEntry) -> Any:
        return event.details.fact if event.kind == "note" and event.details else None

    def told(event: JournalEntry) -> bool:
        own = event.kind == "message" and event.sender == "fan" and origin(event) == "direct"
        return bool(stated(event) or (own and features(event).facts))

    def same(value: str) -> str:
        return " ".join(value.casefold().split())

    placed = sorted((event.time, place) for place, event in enumerate(events) if told(event))
    newest = [events[place] for _, place in placed[::-1][:100]]
    shown = []
    for kind in ("birthday", "name", "place", "job", "pet", "limit"):
        verdicts = [note for event in newest if (note := stated(event)) and note.kind == kind]
        ends = [place for place, event in enumerate(newest) if stated(event) == StatedFact(kind)]
        values: dict[str, dict[str, Any]] = {}
        for event in newest[: ends[0] if ends else None]:
            note = stated(event)
            if note is None:
                said = [one.value for one in reversed(features(event).facts) if one.kind == kind]
            else:
                positive = note.kind == kind and note.value is not None and not note.wrong
                said = [note.value] if positive else []
            for value in said:
                about = [one for one in verdicts if one.value and same(one.value) == same(value)]
                if not (about and about[0].wrong):
                    fact = {"kind": kind, "value": value, "eventId": event.event_id}
                    fact |= {"source": event.kind, "timestamp": stamp(event.time)}
                    values.setdefault(same(value), fact)
        shown += list(values.values())[: 10 if kind in ("pet", "limit") else 1]
    return shown


def document_differences(
    document: dict[str, Any],
    creator_id: str,
    fan_id: str,
    events: Sequence[JournalEntry],
    now: int,
    currency: str = "USD",
) -> list[str]:
    """The fields in which a rendered context is not what the definitions give; names only.

    `events` are in log order, each once, as they came. Beyond what a view keeps (`KEPT_MAX` and its
    like) the page promises no exact weights, so there they are not compared.
    """
    events = [event for _, event in corrected(events)]
    profile, state = document["personalityProfile"], document["emotionalState"]
    shown = [
        {key: value for key, value in message.items() if key != "metadata"}
        for message in document["recentMessages"]
    ]
    metrics, liked = engagement(events, now, currency), preferences(events, now)
    if len({event.content_type for event in events if event.content_type}) > KEPT_MAX:
        del liked["contentPreferences"]
    if (
        len({e.content_type for e in events if e.kind == "purchase" and e.content_type})
        > BOUGHT_MAX
    ):
        del liked["purchasePatterns"]
    found = list(_differing("engagementMetrics", document["engagementMetrics"], metrics))
    found += _differing("emotionalState", state, emotional_state(events, now))
    found += _differing("personalityProfile", profile, personality(events))
    found += _differing("preferences", document["preferences"], liked)
    used = emojis(events)
    offered, waiting = offers(events, now), inbox(events)
    for field, right in (
        (
            "lastInteraction",
            document["lastInteraction"] == (metrics["lastInteraction"] or metrics["createdAt"]),
        ),
        (
            "emotionalState.dominantEmotions",
            is_top(state["dominantEmotions"], dominant_emotions(events), 3),
        ),
        ("personalityProfile.tone", is_top([profile["tone"]], tones(events), 1)),
        (
            "personalityProfile.preferredEmojis",
            len(used) > EMOJIS_KEPT_MAX or is_top(profile["preferredEmojis"], used, 5),
        ),
        ("notes", document.get("notes", []) == notes(events)),
        ("facts", document.get("facts", []) == facts(events)),
        ("recentMessages", shown == recent_messages(creator_id, fan_id, events)),
        ("offers", offered is None or _same_list(document.get("offers", []), offered)),
        ("inbox", waiting is None or document["inbox"] == waiting),
    ):
        if not right:
            found.append(field)
    return found


def _differing(path: str, shown: Any, expected: dict[str, Any]) -> Iterable[str]:
    for field, value in expected.items():
        if field not in shown or not _same(shown[field], value):
            yield f"{path}.{field}"


def _same_list(shown: list[Any], expected: list[Any]) -> bool:
    return len(shown) == len(expected) and all(map(_same, shown, expected))


def _same(shown: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        return isinstance(shown, int | float) and isclose(
            shown, expected, rel_tol=CLOSE, abs_tol=CLOSE
        )
    if isinstance(expected, dict):
        return shown.keys() == expected.keys() and all(
            _same(shown[key], value) for key, value in expected.items()
        )
    return bool(shown == expected)
