"""Histories with corrections, for tests: hypothesis strategies, and what is to be the same."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from admin.verify.reference import document_differences
from schemas.details import Attachment, Details, Kind, Reference
from schemas.journal import JournalEntry
from tests.views.interactions import (
    IDS,
    KINDS,
    NOON,
    WHO,
    any_time,
    entries,
    mentions,
    note,
    stated,
    texts,
)
from views import facts, messages, notes
from views.context import render_context
from views.corrections import REFUNDABLE, as_corrected, correct
from views.state import FanState, fold


def delete(
    target: str, kind: Kind | None = None, *, event_id: str = "d", time: int = NOON + 1
) -> JournalEntry:
    return JournalEntry(
        event_id, "delete", time, details=Details(refers_to=Reference(target, kind))
    )


def edit(target: str, *, event_id: str = "e", time: int = NOON + 1, **more: Any) -> JournalEntry:
    fields = {"content": "edited"} | more
    return JournalEntry(event_id, "message", time, details=Details(replaces=target), **fields)


def refund(
    target: str,
    amount: int,
    kind: Kind | None = None,
    *,
    event_id: str = "r",
    time: int = NOON + 1,
    **details: Any,
) -> JournalEntry:
    about = Details(refers_to=Reference(target, kind), **details)
    return JournalEntry(event_id, "refund", time, amount=amount, details=about)


@st.composite
def corrections(draw: st.DrawFn, times: st.SearchStrategy[int] = any_time) -> JournalEntry:
    """A correction of something that may be there."""
    event_id = draw(st.sampled_from((*IDS, "e-1", "e-2", "e-3")))
    target = draw(st.sampled_from((*IDS, "e-1", "e-2", "e-3")))
    time = draw(times)
    what = draw(st.sampled_from(("delete", "edit", "edit", "refund")))
    if what == "delete":
        return delete(target, draw(st.sampled_from((None, *KINDS))), event_id=event_id, time=time)
    if what == "refund":
        kind = draw(st.sampled_from((None, *REFUNDABLE)))
        return refund(
            target,
            draw(st.integers(0, 3000)),
            kind,
            event_id=event_id,
            time=time,
            currency=draw(st.sampled_from((None, None, "USD", "JPY"))),
            reason=draw(st.sampled_from(("refund", "chargeback"))),
        )
    if draw(st.integers(0, 4)) == 0:
        fact = draw(st.one_of(st.none(), stated))
        metadata = None if fact is None else b'{"fact":1}'
        details = Details(replaces=target, fact=fact)
        return note(time, "edited", event_id, metadata=metadata, details=details)
    pictures = draw(st.booleans())
    attachments = (Attachment("gif", None, draw(st.sampled_from((None, 5)))),) if pictures else ()
    details = Details(
        attachments=attachments,
        currency=draw(st.sampled_from((None, "JPY"))),
        price=draw(st.sampled_from((None, 300))),
        sequence=draw(st.sampled_from((None, 1, 2))),
        replaces=target,
        offers=tuple(draw(st.lists(mentions, max_size=2))),
    )
    return JournalEntry(
        event_id,
        "message",
        time,
        draw(st.sampled_from(("fan", "creator"))),
        content="edited",
        gif=pictures,
        metadata=draw(st.sampled_from((None, b'{"edited":1}'))),
        text=draw(st.one_of(st.none(), texts())),
        details=details,
    )


@st.composite
def logs(
    draw: st.DrawFn, max_size: int = 14, times: st.SearchStrategy[int] = any_time
) -> list[JournalEntry]:
    """Events that share few ids, and corrections of them; each identity once, as in a history."""
    plain = entries(times).flatmap(
        lambda entry: st.builds(
            lambda id, amount: msgspec.structs.replace(
                entry, event_id=id, amount=entry.amount and amount
            ),
            st.sampled_from(IDS),
            st.integers(0, 3000),
        )
    )
    found = draw(
        st.lists(st.one_of(plain, plain, corrections(times)), min_size=1, max_size=max_size)
    )
    once: dict[tuple[str, str], JournalEntry] = {}
    for entry in found:
        once.setdefault((entry.kind, entry.event_id), entry)
    return list(once.values())


def state_of(log: list[JournalEntry]) -> FanState | None:
    """The fold of the corrected history; None when nothing stands."""
    corrected = correct(log)
    if not corrected.stands:
        return None
    state = None
    for one in corrected.stands:
        state = fold(state, one.entry, one.place)
    return state


def context_of(log: list[JournalEntry], now: int) -> Any:
    stands = as_corrected(list(enumerate(log)))
    state = None
    for at, entry in stands:
        state = fold(state, entry, at)
    if state is None:
        return None
    recent, written = messages.newest_entries(stands), notes.newest(stands)
    told = facts.telling(stands)
    context = render_context(*WHO, state, recent, now, written=written, telling=told)
    return msgspec.json.decode(msgspec.json.encode(context))


def differences(log: list[JournalEntry]) -> list[str]:
    """From the definitions, straight."""
    now = max(entry.time for entry in log)
    context = context_of(log, now)
    return [] if context is None else document_differences(context, *WHO, log, now)
