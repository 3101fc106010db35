"""The second copy: whether `interactions` still has the events that the journal lost.

Views go back with the journal only if ingest can write again what was lost. The offsets alone don't
tell: `interactions` may have been cut or recreated too, and have other events at the same places.
So each event is looked for at the source position that is sealed in it. Records of a release that
did not seal it are trusted to be there.
"""

from collections.abc import Sequence
from typing import Any, Final

from privacy.subjects import Subject
from schemas.errors import InvalidInput
from schemas.events import parse_interaction
from schemas.journal import JournalEntry
from schemas.money import DEFAULT_CURRENCY
from schemas.topics import INTERACTIONS
from streams.log_reader import LogReader

READ_RECORDS: Final = 5_000
"""Records held in memory at a time."""


async def count_absent(reader: LogReader, lost: Sequence[tuple[Subject, JournalEntry]]) -> int:
    """How many of these events `interactions` does not have any more."""
    sought: dict[int, dict[int, tuple[Subject, JournalEntry]]] = {}
    for subject, entry in lost:
        if entry.source_offset >= 0:
            sought.setdefault(entry.source_partition, {})[entry.source_offset] = subject, entry
    bounds = await reader.bounds(INTERACTIONS.name, sought)
    absent = 0
    for partition, places in sought.items():
        log = bounds[partition]
        absent += len(places)
        inside = [offset for offset in places if log.start <= offset < log.end]
        if not inside:
            continue
        for start in range(min(inside), max(inside) + 1, READ_RECORDS):
            until = min(start + READ_RECORDS, max(inside) + 1)
            for record in await reader.read(INTERACTIONS.name, partition, start, until):
                if record.offset in places and _is(record, *places[record.offset]):
                    absent -= 1
    return absent


def _is(record: Any, subject: Subject, entry: JournalEntry) -> bool:
    named = entry.details.currency if entry.details is not None else None
    currency = named or DEFAULT_CURRENCY
    try:
        event = parse_interaction(record.value or b"", record.timestamp, currency)
    except InvalidInput:
        return False
    found = (event.creator_id, event.fan_id, event.kind, event.time)
    return found == (subject.creator_id, subject.fan_id, entry.kind, entry.time)
