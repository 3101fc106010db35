"""What the pure core costs per event: fold, encode, decode, seal, open, render.

`fanmemory bench fold` folds one typical fan: 300 made-up messages of both senders with purchases,
tips, likes and views between them, seeded, so that two runs fold the same events. Each figure is
the best of several rounds in microseconds of CPU time of this thread, since what else runs on the
machine only ever adds.
"""

import random
import time
from collections.abc import Callable
from typing import Final

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from privacy.keys import new_key
from schemas.events import Kind
from schemas.journal import JournalEntry
from schemas.text_features import TextFeatures
from schemas.times import MINUTE_MS
from stores.sealing import open_state, seal_state
from views import messages
from views.context import render_context
from views.explain import explain
from views.state import FanState, decode, encode, fold

ROUNDS: Final = 7
START_MS: Final = 1_731_412_800_000
_TOPICS: Final = (
    "cars",
    "family",
    "fitness",
    "food",
    "gaming",
    "movies",
    "music",
    "pets",
    "travel",
)
_EMOJIS: Final = "😀😂😉😍😘🎉🔥🙈🙏🥰"


def interactions(count: int = 400, seed: int = 1) -> list[JournalEntry]:
    """A fan's events in log order, three of four of them messages."""
    rng = random.Random(seed)
    moment = START_MS
    events = []
    for number in range(count):
        moment += rng.randrange(MINUTE_MS // 6, 240 * MINUTE_MS)
        if rng.random() < 0.75:
            events.append(_message(rng, f"event-{number}", moment))
        else:
            kind: Kind = rng.choice(("purchase", "tip", "like", "view"))
            amount = rng.randrange(300, 9000) if kind in ("purchase", "tip") else None
            content_type = rng.choice(("photo", "video", "ppv"))
            events.append(
                JournalEntry(
                    f"event-{number}", kind, moment, amount=amount, content_type=content_type
                )
            )
    return events


def _message(rng: random.Random, event_id: str, moment: int) -> JournalEntry:
    length = rng.randrange(4, 160)
    text = TextFeatures(
        sentiment=rng.choice(("positive", "neutral", "negative")),
        score=round(rng.uniform(-1, 1), 4),
        confidence=round(rng.random(), 4),
        emotions={"joy": round(rng.random(), 4), "love": 0.2} if rng.random() < 0.5 else {},
        topics=tuple(sorted(rng.sample(_TOPICS, rng.choice((0, 0, 1, 2))))),
        tone={"casual": 0.6, "flirty": 0.4} if rng.random() < 0.5 else {},
        language="en",
        emojis=tuple(rng.choices(_EMOJIS, k=rng.choice((0, 0, 1, 2)))),
        length=length,
        words=length // 5,
        capitalised=rng.random() < 0.7,
        punctuated=rng.random() < 0.5,
        cased=True,
    )
    return JournalEntry(
        event_id,
        "message",
        moment,
        rng.choice(("fan", "fan", "creator")),
        content="x" * length,
        text=text,
    )


def measure(seconds: float) -> dict[str, float]:
    """Figure -> microseconds per call, and bytes where it says so."""
    events = interactions()
    state = _folded(events)
    data = encode(state)
    recent = messages.newest_entries(list(enumerate(events)))
    now = events[-1].time
    context = render_context("creator", "fan", state, recent, now)
    history = list(enumerate(events))
    share = seconds / 10

    def fold_all(chosen: list[JournalEntry]) -> Callable[[], object]:
        return lambda: _folded(chosen)

    figures = {"fold_us": _best(fold_all(events), share) / len(events)}
    for kind in ("message", "purchase"):
        chosen = [event for event in events if event.kind == kind]
        figures[f"fold_{kind}_us"] = _best(fold_all(chosen), share) / len(chosen)
    figures["encode_us"] = _best(lambda: encode(state), share)
    figures["decode_us"] = _best(lambda: decode(data), share)
    cipher, subject = AESGCM(new_key()), bytes(16)
    sealed = seal_state(cipher, subject, 1, data)
    figures["seal_us"] = _best(lambda: seal_state(cipher, subject, 1, data), share)
    figures["open_us"] = _best(lambda: open_state(cipher, subject, 1, sealed), share)
    figures["render_context_us"] = _best(
        lambda: render_context("creator", "fan", state, recent, now), share
    )
    figures["encode_context_us"] = _best(lambda: msgspec.json.encode(context), share)
    figures["explain_event_us"] = _best(
        lambda: explain(history, "engagementScore", None, now), share
    ) / len(events)
    figures = {name: round(value, 3) for name, value in figures.items()}
    figures["state_bytes"] = len(data)
    figures["sealed_bytes"] = len(sealed)
    figures["context_bytes"] = len(msgspec.json.encode(context))
    return figures


def _folded(events: list[JournalEntry]) -> FanState:
    state = None
    for position, event in enumerate(events):
        state = fold(state, event, position)
    return state or FanState()


def _best(call: Callable[[], object], seconds: float) -> float:
    """Microseconds of CPU per call, the best of `ROUNDS` rounds that take `seconds` together."""
    clock = time.thread_time
    start = clock()
    call()
    once = max(clock() - start, 1e-7)
    calls = max(1, int(seconds / ROUNDS / once))
    best = float("inf")
    for _ in range(ROUNDS):
        start = clock()
        for _ in range(calls):
            call()
        best = min(best, (clock() - start) / calls)
    return best * 1e6
