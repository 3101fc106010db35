"""One fan, refolded in batches, is what it is at once, whatever is corrected and left out."""

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import EDITABLE
from schemas.journal import JournalEntry, encode_entry
from stores.folding import (
    Folded,
    FramedBatch,
    Waiting,
    fold_corrected,
    fold_new,
    fold_uncorrected,
    fold_whole,
)
from stores.record import HIDDEN, Columns, OpenedRecord, columns_of
from stores.refolding import Limits
from stores.tally import Tally
from tests.views.corrected import logs

SUBJECT = b"s" * 16


def records(log: list[JournalEntry]) -> list[OpenedRecord]:
    return [
        OpenedRecord(
            0, at, SUBJECT, f"{entry.kind}/{entry.event_id}".encode(), encode_entry(entry), entry
        )
        for at, entry in enumerate(log)
    ]


def new_batch() -> FramedBatch:
    return FramedBatch(tallies={0: Tally()})


class Live:
    """A fan as projection keeps it, without the database."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.history: list[OpenedRecord] = []
        self.rows: dict[bytes, Columns] = {}
        self.stored: dict[bytes, tuple[int, bytes]] = {}
        self.tally = Tally()
        self.set_aside: dict[int, str] = {}

    def take(self, batch: list[OpenedRecord]) -> None:
        framed = new_batch()
        before = list(self.history)
        self.history += batch
        self.rows |= {one.event_key: columns_of(one.entry) for one in batch}
        folded, waiting = fold_new(batch, self.stored, framed)
        folded += [fan for one in waiting if (fan := self._fold(one, before, framed)) is not None]
        self.rows |= framed.columns.get(SUBJECT, {})
        for fan in folded:
            self.stored[fan.subject] = (fan.version, fan.document)
        self.tally.applied += framed.tallies[0].applied
        self.tally.quarantined += framed.tallies[0].quarantined
        self.set_aside |= {one.offset: one.reason for one in framed.quarantined}

    def _fold(self, fan: Waiting, before: list[OpenedRecord], framed: FramedBatch) -> Folded | None:
        size = sum(len(one.body) for one in before)
        if len(before) >= self.limits.entries or size > self.limits.bytes:
            return fold_uncorrected(fan, framed)
        return fold_corrected(fan, self.history, self.limits, framed)


@given(
    logs(max_size=18),
    st.lists(st.integers(1, 5), min_size=18, max_size=18),
    st.one_of(st.just(1000), st.integers(1, 18)),
    st.one_of(st.just(10**9), st.integers(1, 2000)),
)
@settings(max_examples=100)
def test_batch_by_batch_is_the_whole_at_once(
    log: list[JournalEntry], sizes: list[int], entries: int, size: int
) -> None:
    limits = Limits(entries, size)
    live, whole = Live(limits), new_batch()
    rest = records(log)
    for count in sizes:
        if rest:
            live.take(rest[:count])
            rest = rest[count:]
    folded = fold_whole(records(log), limits, whole)
    assert live.stored == {fan.subject: (fan.version, fan.document) for fan in folded}
    assert live.tally == whole.tallies[0]
    assert live.set_aside == {one.offset: one.reason for one in whole.quarantined}
    alone = {one.event_key: columns_of(one.entry) for one in records(log)}
    assert live.rows == alone | whole.columns.get(SUBJECT, {})
    for fan in folded:
        texts = [one for _, one in fan.shown or () if one.kind in EDITABLE]
        shown = {(one.kind, one.event_id) for one in texts}
        told = [one for one in records(log) if live.rows[one.event_key] != HIDDEN]
        rows = {(one.entry.kind, one.entry.event_id) for one in told}
        assert fan.shown is None or shown == rows
