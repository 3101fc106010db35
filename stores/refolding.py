"""Refolding one fan's history with its corrections. Pure.

The rules are `views.corrections`; here stand what they mean for the rows of the history, and the
bound of it: the *head* is what `Limits` let in, counted in log order, so that whoever refolds the
same journal under the same settings, live or from its beginning, corrects and leaves out the same.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from infra.settings import Settings
from schemas.journal import JournalEntry
from stores.record import HIDDEN, Columns, OpenedRecord, columns_of
from views.corrections import Corrected, Stands, correct
from views.state import FanState, decode, encode, fold


class Limits(NamedTuple):
    """How long a history may be to be corrected."""

    entries: int
    bytes: int
    """Sealed."""

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        return cls(settings.history_entries_max, settings.history_bytes_max)


UNLIMITED: Final = Limits(1 << 62, 1 << 62)


class Refolded(NamedTuple):
    """A fan's history, corrected and folded."""

    state: FanState
    document: bytes
    shown: list[tuple[int, JournalEntry]]
    """(offset, entry) of all that stands, in log order."""
    columns: dict[bytes, Columns]
    """Event key -> what its row must say."""
    refused: dict[bytes, str]
    """Event key -> why it is left out."""


def refold(history: Sequence[OpenedRecord], limits: Limits) -> Refolded:
    """`history` is all of one fan's, in log order."""
    corrected = correct([one.entry for one in history], _head(history, limits))
    refused = {history[index].event_key: why for index, why in corrected.refused.items()}
    state = FanState()
    try:
        for one in corrected.stands:
            state = fold(state, one.entry, _position(history[one.place]))
        state.awaited = corrected.awaited
        document = encode(state)
    except Exception:  # noqa: BLE001 # whatever it is, only its record may be left out
        document = _fold_singly(history, corrected, refused)
        state = decode(document)
    return Refolded(
        state,
        document,
        [(history[one.place].offset, one.entry) for one in corrected.stands],
        _columns(history, corrected.stands),
        refused,
    )


def decide(history: Sequence[OpenedRecord], limits: Limits) -> dict[bytes, Columns]:
    """Event key -> what each row of one fan's whole history must say."""
    corrected = correct([one.entry for one in history], _head(history, limits))
    return _columns(history, corrected.stands)


def _fold_singly(
    history: Sequence[OpenedRecord], corrected: Corrected, refused: dict[bytes, str]
) -> bytes:
    document = encode(FanState(awaited=corrected.awaited))
    for one in corrected.stands:
        try:
            state = fold(decode(document), one.entry, _position(history[one.place]))
            document = encode(state)
        except Exception as error:  # noqa: BLE001 # see above
            blamed = one.place if one.edit is None else one.edit
            refused[history[blamed].event_key] = name_of(error)
    return document


def name_of(error: Exception) -> str:
    """The kind of error only: its text could quote what was folded."""
    return f"fold raised {type(error).__name__}"


def _position(record: OpenedRecord) -> int:
    """What stands nowhere in the log any more (`stores.log_breaks`) stands at its beginning."""
    return max(0, record.offset)


def _head(history: Sequence[OpenedRecord], limits: Limits) -> int | None:
    """How many of them are corrected; None: all."""
    size = 0
    for count, one in enumerate(history):
        size += len(one.body)
        if count >= limits.entries or size > limits.bytes:
            return count
    return None


def _columns(history: Sequence[OpenedRecord], stands: Sequence[Stands]) -> dict[bytes, Columns]:
    found = {one.event_key: HIDDEN for one in history}
    for one in stands:
        columns = columns_of(one.entry)
        if one.edit is not None:
            columns = columns._replace(edited_by=history[one.edit].event_key)
        found[history[one.place].event_key] = columns
    return found
