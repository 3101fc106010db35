"""facts: what the fan has said of themselves, and what people made of it. By kind, newest first.

A fact is *told* by a direct message of the fan's, in which the analyser found it (`analysis.facts`,
read once by ingest), or by a note whose `metadata.fact` states it (`schemas.facts`). Of one time
the later in log order is the newer.

- Of `birthday`, `name`, `place` and `job` the newest stands, of `pet` and `limit` each value, the
  newest `VALUES_MAX`. Values are equal without regard to case and spaces; the newest event that
  tells one is its evidence.
- A note with `wrong` says that a value is not so: no message tells it any more, whenever it comes,
  and no older note. A later note that states it ends that.
- A note with the value null says that nothing counts which was told of its kind until then.

Facts are words of the text: they stand in no state. Like `messages`, the view has none of its own:
the history rows are its state, and the newest `TELLING_MAX` events that tell something are read.
What they take back is forgotten with them. An edit, a delete or a forgetting of an event takes its
facts along (`views.corrections`).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, cast

from schemas.context import FactSource, KnownFact
from schemas.details import StatedFact
from schemas.events import Kind, Sender
from schemas.facts import KINDS
from schemas.journal import JournalEntry
from schemas.relationship import Relationship
from schemas.text_features import FACT_VALUE_LENGTH_MAX, Fact, FactKind
from schemas.times import render_time
from views.acts import is_direct
from views.messages import newest_first

if TYPE_CHECKING:
    from views.state import Fan

DOCUMENT: Final = "facts"

TELLING_MAX: Final = 100
"""Events that are looked at, the newest."""
VALUES_MAX: Final = 10
MANY: Final = frozenset(("pet", "limit"))
"""Kinds of which several hold at once."""


class _Claim(NamedTuple):
    """One event that tells one fact."""

    value: str
    entry: JournalEntry


def tells(entry: JournalEntry) -> bool:
    """Whether an event says anything of this view."""
    if entry.kind == "message":
        text = entry.text
        if text is None or not text.facts:
            return False
        return entry.sender == "fan" and is_direct(entry)
    return stated_by(entry) is not None


def telling(history: Iterable[tuple[int, JournalEntry]]) -> list[JournalEntry]:
    """Those of (offset, entry) pairs that are looked at, the newest first."""
    return newest_first(history, tells)[:TELLING_MAX]


def said(entry: JournalEntry) -> Sequence[Fact]:
    """What a message tells; kinds of later releases and what is no value say nothing."""
    if entry.kind != "message" or entry.text is None:
        return ()
    return [
        one
        for one in entry.text.facts
        if one.kind in KINDS and 0 < len(one.value) <= FACT_VALUE_LENGTH_MAX
    ]


def stated_by(entry: JournalEntry) -> StatedFact | None:
    """What a note states."""
    if entry.kind != "note" or entry.details is None:
        return None
    return entry.details.fact


def moved_by(kind: Kind, sender: Sender, *, detailed: bool) -> bool:
    """A fan's message and a note; of these only what `tells` something."""
    return kind == "note" or (kind == "message" and sender == "fan")


def render(fan: "Fan", who: Relationship, now: int) -> tuple[KnownFact, ...]:
    return render_all(fan.telling)


def render_all(telling: Sequence[JournalEntry]) -> tuple[KnownFact, ...]:
    """They depend on nothing but these, so that readers keep them rendered."""
    return tuple(one for kind in KINDS for one in _of_kind(kind, telling)) if telling else ()


def count(before: int | None, entry: JournalEntry, kind: FactKind) -> int:
    """How many events have told a fact of this kind, this one included."""
    stated = stated_by(entry)
    if stated is None:
        told = tells(entry) and any(one.kind == kind for one in said(entry))
    else:
        told = stated.kind == kind and stated.value is not None and not stated.wrong
    return (before or 0) + told


def _of_kind(kind: FactKind, telling: Sequence[JournalEntry]) -> Iterable[KnownFact]:
    claims: list[_Claim] = []
    judged: dict[str, bool] = {}
    """Value -> whether the newest note about it says that it is wrong."""
    for age, entry in enumerate(telling):
        stated = stated_by(entry)
        if stated is None:
            claims += [_Claim(one.value, entry) for one in said(entry)[::-1] if one.kind == kind]
        elif stated.kind == kind:
            if stated.value is None:
                # What is older does not count; but what a person has called wrong stays wrong.
                judged |= _judgements(kind, telling[age + 1 :], judged)
                break
            if judged.setdefault(_same(stated.value), stated.wrong) is False and not stated.wrong:
                claims.append(_Claim(stated.value, entry))
    found: dict[str, KnownFact] = {}
    for claim in claims:
        value = _same(claim.value)
        if judged.get(value) or value in found:
            continue
        found[value] = KnownFact(
            kind=kind,
            value=claim.value,
            event_id=claim.entry.event_id,
            source=cast(FactSource, claim.entry.kind),
            timestamp=render_time(claim.entry.time),
        )
    return list(found.values())[: VALUES_MAX if kind in MANY else 1]


def _judgements(
    kind: FactKind, older: Sequence[JournalEntry], newer: dict[str, bool]
) -> dict[str, bool]:
    """What notes behind these say is wrong, where nothing newer is said of the value."""
    found: dict[str, bool] = {}
    for entry in older:
        stated = stated_by(entry)
        if stated is not None and stated.kind == kind and stated.value is not None:
            value = _same(stated.value)
            if value not in newer:
                found.setdefault(value, stated.wrong)
    return found


def _same(value: str) -> str:
    return " ".join(value.casefold().split())
