"""What if: the context as it would be after events that have not happened. Pure.

They are taken for what came last: the history with them behind it is corrected and folded as it
would be had they come. So an edit, a delete or a refund among them does what it does to what is
remembered, or to one before it. What is there already, by type and id, is a repeat and changes
nothing.
"""

from collections.abc import Iterable, Sequence

from schemas.context import MemoryContext
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY
from schemas.relationship import Relationship
from views.corrections import History, as_corrected
from views.explain import context_as_of


def context_after(
    who: Relationship,
    history: History,
    events: Sequence[JournalEntry],
    now: int,
    currency: str = DEFAULT_CURRENCY,
) -> MemoryContext | None:
    """The context at `now` (ms), or at the newest of the events; None when nothing stands of all.

    `history` is as it came, not corrected; it may be empty.
    """
    known: set[tuple[str, str]] = {(entry.kind, entry.event_id) for _, entry in history}
    place = history[-1][0] + 1 if history else 0
    more = enumerate(_new(events, known), place)
    after = as_corrected([*history, *more])
    time = max([now, *(event.time for event in events)])
    return context_as_of(*who, after, time, currency)


def _new(events: Sequence[JournalEntry], known: set[tuple[str, str]]) -> Iterable[JournalEntry]:
    for event in events:
        if (event.kind, event.event_id) not in known:
            known.add((event.kind, event.event_id))
            yield event
