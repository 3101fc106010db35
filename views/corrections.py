"""Corrections: what a history means once its edits, unsent messages and refunds are known. Pure.

Views are a fold of the *corrected* history: each corrected event stands as if it had been so from
the start, a deleted one never stood there, and the corrections themselves are no events of the fan.

- `delete`: the event that it names is absent, whatever its type; also an edit (then the message
  stands as before it) and a refund (then the payment counts again). A delete can't be deleted.
- An edit (`replaces`) of a message, or of a note: it keeps its id, time, place, sender, author and
  origin, and has the edit's text. Its `metadata`, attachments and price are the edit's where that
  has any. An edit of an edit is one of the same event. Of several the newest by (time, `sequence`,
  place in the log) counts. An edit of what is deleted, or never came, or is of another type, is
  nothing.
- `refund` with `refersTo`: what it takes back of a purchase or a tip was never paid; what is taken
  back wholly never happened. Of a subscription only the money is taken back: how it stands, its own
  events say. What is beyond the amount paid, of all refunds together, lowers the revenue, and so
  does all of a refund whose payment is not known (yet), or was in another currency. Of a payment
  that was deleted there is nothing to take back. Else such a refund is no event of the fan's: it
  shows in the purchase patterns, and nowhere else.

A reference without a type means a message, of a refund a purchase; if there is none, whatever else
has the id, in the order of `DELETABLE` and `REFUNDABLE`. Only the fan's own history is looked at.

None of it depends on the order of arrival, except among edits of one time, and except for two
bounds, which stop a correction instead of applying it by half (`Corrected.refused`):

- `AWAITED_MAX` corrections at most may wait for what they name.
- A history is corrected as far as its `head`. A correction that comes later, and an event that
  would have to be corrected then, are left out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final, NamedTuple

import msgspec

from schemas.details import NO_DETAILS, Details, Kind, Reference
from schemas.events import Interaction
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY

VERSION: Final = 1

AWAITED_MAX: Final = 1000
"""Their tokens stand in the fan's state: 16 bytes each."""
DELETABLE: Final[tuple[Kind, ...]] = (
    "message",
    "purchase",
    "tip",
    "subscription",
    "refund",
    "like",
    "view",
    "note",
)
REFUNDABLE: Final[tuple[Kind, ...]] = ("purchase", "tip", "subscription")

TOO_LONG: Final = "the fan has too many interactions to be corrected"
TOO_MANY_WAIT: Final = "too many corrections of this fan wait for what they name"

_TOKEN_BYTES: Final = 6
_FIRST_SEQUENCE: Final = -(2**63)

History = Sequence[tuple[int, JournalEntry]]
"""(journal offset, entry) of one subject, in log order, each event once."""


class Stands(NamedTuple):
    """One event of a corrected history."""

    place: int
    """Its place in the history."""
    entry: JournalEntry
    """As it stands corrected."""
    edit: int | None = None
    """Place of the edit whose text it has."""


class Taken(NamedTuple):
    """What a refund has taken back."""

    payment: int
    """Its place in the history."""
    amount: int
    """Minor units."""


@dataclass(slots=True)
class Corrected:
    """What a history comes to."""

    stands: list[Stands]
    awaited: list[int] = field(default_factory=list)
    """`token`s of ids that corrections wait for, sorted."""
    refused: dict[int, str] = field(default_factory=dict)
    """Places of what is left out, and why."""
    taken: dict[int, Taken] = field(default_factory=dict)
    """Place of each refund of a payment that was not deleted, and is of its currency."""


def is_correction(entry: JournalEntry | Interaction) -> bool:
    details = entry.details
    if details is None:
        return entry.kind == "delete"
    return (
        entry.kind == "delete"
        or details.replaces is not None
        or (entry.kind == "refund" and details.refers_to is not None)
    )


def is_edit(entry: JournalEntry) -> bool:
    return entry.details is not None and entry.details.replaces is not None


def token(event_id: str) -> int:
    """Stands for an id in a state, which is not sealed; two ids may share one."""
    return int.from_bytes(blake2b(event_id.encode(), digest_size=_TOKEN_BYTES).digest(), "big")


def as_corrected(history: History) -> History:
    """The same as (offset, entry) pairs: the history itself when there is nothing to correct."""
    if not any(is_correction(entry) for _, entry in history):
        return history
    entries = [entry for _, entry in history]
    return [(history[one.place][0], one.entry) for one in correct(entries).stands]


def correct(entries: Sequence[JournalEntry], head: int | None = None) -> Corrected:
    """What these events come to; those from the place `head` on are not corrected any more."""
    first = list(entries if head is None else entries[:head])
    found = _Correction(first).run()
    if head is not None:
        waited = frozenset(found.awaited)
        for index, entry in enumerate(entries[head:], head):
            if is_correction(entry) or token(entry.event_id) in waited:
                found.refused[index] = TOO_LONG
            else:
                found.stands.append(Stands(index, entry))
    return found


def edited(message: JournalEntry, edit: JournalEntry) -> JournalEntry:
    """The message as it stands after the edit."""
    old, new = message.details or NO_DETAILS, edit.details or NO_DETAILS
    attachments = new.attachments or old.attachments
    price = old.price if new.price is None else new.price
    currency = old.currency
    if _has_price(new):
        currency = new.currency
        if currency_of(message) != currency_of(edit):  # what stays can't have another one
            price = new.price
            attachments = new.attachments or tuple(
                msgspec.structs.replace(one, price=None) for one in old.attachments
            )
    told = edit.metadata is not None
    shown = edit.gif if told or new.attachments else message.gif
    offers = new.offers if told else old.offers
    fact = new.fact if told else old.fact
    details = msgspec.structs.replace(
        old,
        attachments=attachments,
        price=price,
        currency=currency,
        replaces=None,
        offers=offers,
        fact=fact,
    )
    return msgspec.structs.replace(
        message,
        content=edit.content,
        text=edit.text,
        model=edit.model,
        metadata=edit.metadata if told else message.metadata,
        content_type=edit.content_type if told else message.content_type,
        gif=shown,
        details=None if details == NO_DETAILS else details,
    )


def _has_price(details: Details) -> bool:
    return details.price is not None or any(one.price is not None for one in details.attachments)


def currency_of(entry: JournalEntry) -> str:
    named = entry.details.currency if entry.details is not None else None
    return named or DEFAULT_CURRENCY


class _Correction:
    """One history being corrected."""

    def __init__(self, entries: list[JournalEntry]) -> None:
        self._entries = entries
        self._places: dict[str, dict[Kind, int]] = {}
        self._refused: dict[int, str] = {}
        self._gone: set[int] = set()
        self._edits: dict[int, int] = {}
        """Message -> the edit that counts."""
        self._taken: dict[int, Taken] = {}
        self._as: dict[int, JournalEntry] = {}
        """What stands otherwise than it was written."""

    def run(self) -> Corrected:
        corrections = self._arrive()
        self._delete(corrections)
        alive = [index for index in corrections if index not in self._gone]
        self._edit([index for index in alive if is_edit(self._entries[index])])
        self._refund([index for index in alive if self._entries[index].kind == "refund"])
        stands = []
        for index, entry in enumerate(self._entries):
            if index in self._gone or index in self._refused or entry.kind == "delete":
                continue
            if is_edit(entry):
                continue
            edit = self._edits.get(index)
            if edit is not None:
                entry = edited(entry, self._entries[edit])
            stands.append(Stands(index, self._as.get(index, entry), edit))
        waiting = {token(id) for index in alive if (id := self._awaits(index)) is not None}
        return Corrected(stands, sorted(waiting), self._refused, self._taken)

    def _arrive(self) -> list[int]:
        """Places of the corrections that count, in log order."""
        corrections = []
        waiting: dict[str, list[int]] = {}
        count = 0
        for index, entry in enumerate(self._entries):
            if is_correction(entry):
                awaited = self._awaits(index)
                if awaited is not None and count >= AWAITED_MAX:
                    self._refused[index] = TOO_MANY_WAIT
                    continue
                if awaited is not None:
                    waiting.setdefault(awaited, []).append(index)
                    count += 1
                corrections.append(index)
            if entry.kind != "delete":
                self._places.setdefault(entry.event_id, {}).setdefault(entry.kind, index)
            for other in waiting.pop(entry.event_id, ()):
                if self._awaits(other) is not None:
                    waiting.setdefault(entry.event_id, []).append(other)
                else:
                    count -= 1
        return corrections

    def _reference(self, index: int) -> tuple[Reference, tuple[Kind, ...]] | None:
        """What a correction names, and the types that it may be, the likeliest first."""
        entry = self._entries[index]
        details = entry.details or NO_DETAILS
        if details.replaces is not None:
            return Reference(details.replaces), (entry.kind,)
        named = details.refers_to
        if named is None:
            return None
        kinds = REFUNDABLE if entry.kind == "refund" else DELETABLE
        return named, kinds if named.kind is None else (named.kind,)

    def _target(self, index: int) -> int | None:
        named = self._reference(index)
        if named is None:
            return None
        there = self._places.get(named[0].event_id, {})
        return next((there[kind] for kind in named[1] if kind in there), None)

    def _awaits(self, index: int) -> str | None:
        """The id of what may still come and be meant by this correction."""
        named = self._reference(index)
        if named is None:
            return None
        there = self._places.get(named[0].event_id, {})
        return None if named[1][0] in there else named[0].event_id

    def _delete(self, corrections: Iterable[int]) -> None:
        for index in corrections:
            if self._entries[index].kind == "delete":
                target = self._target(index)
                if target is not None:
                    self._gone.add(target)

    def _edit(self, edits: Sequence[int]) -> None:
        waiting = set(edits)
        for index in edits:
            at: int | None = index
            seen = set()
            # Up to the message; in a circle there is none.
            while at is not None and at in waiting and at not in seen:
                seen.add(at)
                at = self._target(at)
            if at is None or at in seen or at in self._gone or is_edit(self._entries[at]):
                continue
            if at not in self._edits or self._age(index) > self._age(self._edits[at]):
                self._edits[at] = index

    def _age(self, index: int) -> tuple[int, int, int]:
        entry = self._entries[index]
        sequence = (entry.details or NO_DETAILS).sequence
        return entry.time, _FIRST_SEQUENCE if sequence is None else sequence, index

    def _refund(self, refunds: Iterable[int]) -> None:
        left: dict[int, int] = {}
        for index in refunds:
            refund = self._entries[index]
            target = self._target(index)
            if target is None or currency_of(refund) != currency_of(self._entries[target]):
                continue
            rest = left.setdefault(target, self._entries[target].amount or 0)
            taken = min(rest, refund.amount or 0)
            left[target] = rest - taken
            if target not in self._gone:
                self._taken[index] = Taken(target, taken)
            self._as[index] = msgspec.structs.replace(refund, amount=(refund.amount or 0) - taken)
        for target, rest in left.items():
            payment = self._entries[target]
            if rest == 0 and payment.kind != "subscription":
                self._gone.add(target)
            else:
                self._as[target] = msgspec.structs.replace(payment, amount=rest)
