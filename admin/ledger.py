"""The ledger: a database that was restored erases again whom it does not know to be erased.

A backup holds the keys of those who were erased after it was made, and its own list of erasures is
as old. So every subject that is erased goes to the topic `erasures` as well, by its random id. Each
process compares at its start: what the topic has beyond `ledger_position` was not applied to this
database. Whoever of it still exists is erased again, in one transaction each, before anything is
folded; the position moves last. [a crash in between costs reading and deleting again, which changes
nothing] So is whoever some events were forgotten of: these leave the views, and the order is given
again (`stores.forgetting`).

A worker compares before it claims (`streams.app`), however long Kafka is away. The API compares
when it starts, and goes on without an answer when Kafka does not give one: reads have to survive
that. Whoever restores a database asks `fanmemory restore-check`, with Kafka there, before a start.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from admin.journal import open_journal
from infra.postgres import Connection, connecting, database_errors
from infra.settings import Settings
from privacy.keys import Keyring
from schemas.erased import EVENTS, Erased, decode_erased
from schemas.errors import InvalidInput
from schemas.random_ids import id_bytes, id_text
from schemas.topics import ERASURES
from stores import erasure
from stores.erasure import Names
from stores.forgetting import hide
from stores.refolding import Limits

ASKED_MAX: Final = 10_000
"""Subjects in one question to Postgres."""


@dataclass(frozen=True, slots=True)
class Behind:
    """What the ledger has beyond what was applied to a database."""

    read: int
    """Records of the ledger that were looked at."""
    subjects: list[bytes]
    """Whom it says to be erased, and the database still knows."""
    forgetting: list[Erased]
    """Of whom it says some events to be forgotten, and the database still knows the subject: one
    for each forgetting since, those of its successors included."""
    nexts: Mapping[int, int]
    """Partition of the ledger -> where to read on."""


async def behind(settings: Settings, connection: Connection, *, whole: bool = False) -> Behind:
    """Compare; with `whole` from the ledger's beginning. Changes nothing.

    Raises `BrokerUnavailable`, `DatabaseUnavailable`, and `Misconfigured` without such a topic.
    """
    async with database_errors():
        known = {} if whole else await erasure.ledger_positions(connection)
    erased: set[bytes] = set()
    moved: dict[str, list[Erased]] = {}
    read, nexts = 0, {}
    async with open_journal(settings, ERASURES.name) as ledger:
        for partition, (first, end) in (await ledger.bounds()).items():
            start = known.get(partition, first)
            if not first <= start <= end:
                start = first  # another topic of the same name
            nexts[partition] = end
            async for raws in ledger.read(partition, start, end):
                read += len(raws)
                for raw in raws:
                    try:
                        found = decode_erased(raw.value)
                        subject = id_bytes(found.subject)
                    except (InvalidInput, ValueError):
                        continue  # nothing of ours
                    if found.kind == EVENTS:
                        moved.setdefault(found.subject, []).append(found)
                    else:
                        erased.add(subject)
    asked = sorted({*erased, *(id_bytes(subject) for subject in moved)})
    subjects: list[bytes] = []
    async with database_errors():
        for start in range(0, len(asked), ASKED_MAX):
            subjects += await erasure.existing(connection, asked[start : start + ASKED_MAX])
    forgetting = [one for id in subjects if id not in erased for one in _since(id_text(id), moved)]
    return Behind(read, [one for one in subjects if one in erased], forgetting, nexts)


def _since(subject: str, moved: Mapping[str, Sequence[Erased]]) -> list[Erased]:
    """The forgettings of whoever stood under this id, in order, as if all were of this id.

    A subject has several successors when the database was restored before: each restored it, and
    it moved again.
    """
    found: dict[str, Erased] = {}
    left, seen = [subject], {subject}
    while left:
        for one in moved.get(left.pop(), ()):
            # Once more after a restore: then its events were gone already, and it names none.
            known = found.get(one.erasure, one)
            found[one.erasure] = replace(
                known,
                subject=subject,
                events=tuple(dict.fromkeys((*known.events, *one.events))),
                places=tuple(dict.fromkeys((*known.places, *one.places))),
            )
            if one.successor is not None and one.successor not in seen:
                seen.add(one.successor)
                left.append(one.successor)
    return list(found.values())


async def catch_up(settings: Settings) -> int:
    """Erase and forget again what this database lacks; returns of how many subjects."""
    async with connecting(settings.postgres_url, command_timeout=60) as connection:
        found = await behind(settings, connection)
        keyring = Keyring.of(settings)
        names, partitions = Names(keyring), settings.journal_partitions
        async with database_errors():
            for subject in found.subjects:
                await erasure.erase_again(connection, names, partitions, subject)
            for one in found.forgetting:
                await hide(connection, keyring, partitions, Limits.of(settings), one)
            await erasure.move_ledger(connection, found.nexts)
    return len(found.subjects) + len(found.forgetting)
