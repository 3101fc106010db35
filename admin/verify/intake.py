"""The intake: whether everything that `interactions` still holds became something.

Verify's other parts begin at the journal and take it as given. This one begins where the outside
world ends: each record below ingest's position must be a dead letter, or have been dropped with its
suppressed fan, or its event must be remembered under its own fan's subject, or wait in the journal
beyond projection's position. Which subject and which event key, it reckons from the record itself.

Everything of Postgres is read in the snapshot of the whole run. Ingest produces before it moves its
position, and the journal's ends are read after the snapshot was taken, so what is below ingest's
position in the snapshot is in the journal by then: no false alarm while a system runs on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from admin.journal import Raw, open_journal
from admin.parallel import Progress
from admin.places import Places
from admin.verify.differences import Difference, subject_text
from infra.postgres import Connection, connecting, database_errors
from infra.settings import Settings
from infra.sql import load_queries
from privacy.control import ControlSigner, is_control
from privacy.keys import Keyring
from privacy.seal import FORMER_KINDS, event_key, former_event_key, source_key
from privacy.subjects import Subjects
from schemas.errors import InvalidInput, SealBroken
from schemas.events import Interaction, parse_interaction
from schemas.journal import decode_record
from schemas.positions import Position, parse_position, source_name
from schemas.relationship import Relationship
from schemas.topics import DEAD_LETTERS, INTERACTIONS
from stores import outbox, suppression
from stores.erasure import Names, erased_before

SQL: Final = load_queries(Path(__file__).with_name("intake.sql"))
DIFFERENCES_MAX: Final = 200
"""Differences of one partition that are named; all are counted."""
NOWHERE: Final = "(in neither the journal nor the dead letters)"
REFUSED: Final = "(refused, and in neither the journal nor the dead letters)"
NOT_REMEMBERED: Final = "(in the journal, but not in its fan's history)"
OTHER_FAN: Final = "(in the journal under another fan)"


@dataclass(frozen=True, slots=True)
class IntakeTask:
    """What a process needs to know to look at one partition of `interactions`."""

    settings: Settings
    snapshot: str
    partition: int
    first: int
    until: int
    dead: Places
    journal: Places
    """Places that some record of the journal names."""
    living: Places | None
    """Of them, those of subjects that still exist; None when that is not known."""
    quarantined: Places
    waiting: frozenset[bytes]
    """Subject and event key of each record beyond projection's position."""
    suppressed: Places
    """Places that were dropped since their fan was suppressed."""
    boundaries: tuple[int, ...] = ()
    """Where each later log of this name begins (`schemas.positions.source_name`)."""


@dataclass(slots=True)
class IntakeResult:
    """What became of the records of one partition of `interactions`."""

    partition: int
    records: int = 0
    dead_letters: int = 0
    suppressed: int = 0
    control: int = 0
    """Orders, which leave nothing in the journal."""
    remembered: int = 0
    waiting: int = 0
    forgotten: int = 0
    """Of fans who have no subject any more."""
    quarantined: int = 0
    found: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        self.found += 1
        if len(self.differences) < DIFFERENCES_MAX:
            self.differences.append(difference)


class _Judged(NamedTuple):
    """An accepted event, and what stands for it within its subject."""

    offset: int
    who: Relationship
    subject: bytes
    event_key: bytes
    former_key: bytes | None = None

    def names(self) -> list[bytes]:
        """All by which it may be known."""
        return [self.event_key] if self.former_key is None else [self.event_key, self.former_key]


async def dead_places(settings: Settings, connection: Connection) -> Places:
    """The places in `interactions` of which there is a dead letter, told or still in the outbox."""
    found = Places()

    def add(key: bytes | None) -> None:
        try:
            position = parse_position((key or b"").decode())
        except (InvalidInput, UnicodeDecodeError):
            return  # nothing that ingest wrote
        found.add(position.partition, position.offset)

    # First: a letter that is published meanwhile is found on the topic.
    async for letter in outbox.unpublished(connection, DEAD_LETTERS.name):
        add(letter.key)
    async with open_journal(settings, DEAD_LETTERS.name) as letters:
        for partition, bounds in (await letters.bounds()).items():
            async for raws in letters.read(partition, bounds.first, bounds.end):
                for raw in raws:
                    add(raw.key)
    return found


async def quarantined_places(connection: Connection) -> Places:
    """The places of quarantined records whose frame can be read."""
    found = Places()
    async for row in connection.cursor(SQL.quarantined):
        try:
            record = decode_record(row["value"])
        except SealBroken:
            continue
        found.add(record.source_partition, record.source_offset)
    return found


async def suppressed_places(connection: Connection) -> Places:
    """The places in `interactions` that ingest dropped, as far as it still may hold them."""
    found = Places()
    for partition, offset in await suppression.records(connection):
        found.add(partition, offset)
    return found


async def verify_intake(task: IntakeTask, progress: Progress) -> IntakeResult:
    """Raises `BrokerUnavailable`, `DatabaseUnavailable`."""
    keyring = Keyring.of(task.settings)
    async with (
        connecting(task.settings.postgres_url, command_timeout=600) as connection,
        database_errors(),
        connection.transaction(isolation="repeatable_read"),
    ):
        await connection.execute(f"SET TRANSACTION SNAPSHOT '{task.snapshot}'")
        intake = _Intake(task, connection, Subjects(keyring, 1), keyring)
        async with open_journal(task.settings, INTERACTIONS.name) as interactions:
            async for raws in interactions.read(task.partition, task.first, task.until):
                await intake.judge(raws)
                progress(0)
        return intake.result


class _Intake:
    def __init__(
        self, task: IntakeTask, connection: Connection, subjects: Subjects, keyring: Keyring
    ) -> None:
        self._task = task
        self._connection = connection
        self._subjects = subjects
        self._names = Names(keyring)
        self._signer = ControlSigner(keyring)
        self._nowhere: list[tuple[int, Relationship]] = []
        """(offset, whose) of events that no copy is of."""
        self.result = IntakeResult(task.partition)

    async def judge(self, raws: Sequence[Raw]) -> None:
        events = []
        self.result.records += len(raws)
        for raw in raws:
            if (raw.partition, raw.offset) in self._task.dead:
                self.result.dead_letters += 1
                continue
            if (raw.partition, raw.offset) in self._task.suppressed:
                self.result.suppressed += 1
                continue
            if is_control(raw.headers) and self._signer.proves(raw.headers, raw.key, raw.value):
                self.result.control += 1
                continue
            try:
                event = parse_interaction(raw.value, raw.timestamp, self._task.settings.currency)
                events.append((raw.offset, event))
            except InvalidInput:
                # Other code may have accepted it: then it is in the journal.
                if (raw.partition, raw.offset) not in self._task.journal:
                    self._differ(raw.offset, REFUSED)
        await self._remembered(await self._identified(events))
        await self._judge_nowhere()

    async def _identified(self, events: Sequence[tuple[int, Interaction]]) -> list[_Judged]:
        pairs = {(event.creator_id, event.fan_id) for _, event in events}
        # Whose key does not open is named by the comparison with the journal.
        locked: dict[tuple[str, str], SealBroken] = {}
        subjects = await self._subjects.find(self._connection, pairs, locked)
        judged = []
        for offset, event in events:
            pair = (event.creator_id, event.fan_id)
            subject = subjects.get(pair)
            if subject is not None:
                key = _event_key(subject.key, event, self._task, offset)
                former = _former_key(subject.key, event)
                judged.append(_Judged(offset, pair, subject.id, key, former))
            elif pair not in locked:
                self._unnamed(offset, pair)
        return judged

    async def _remembered(self, judged: Sequence[_Judged]) -> None:
        task, result = self._task, self.result
        asked = [(n, one.subject, key) for n, one in enumerate(judged) for key in one.names()]
        columns = list(zip(*asked, strict=True)) or [(), (), ()]
        rows = await self._connection.fetch(SQL.known_events, *columns)
        known = {row["number"] for row in rows}
        for number, one in enumerate(judged):
            place = (task.partition, one.offset)
            if number in known:
                result.remembered += 1
            elif any(one.subject + key in task.waiting for key in one.names()):
                result.waiting += 1
            elif place in task.quarantined:
                result.quarantined += 1
            elif place not in task.journal:
                self._nowhere.append((one.offset, one.who))
            elif task.living is None or place not in task.living:
                # The fan was erased and came back: an earlier subject's record.
                result.forgotten += 1
            else:
                self._differ(one.offset, NOT_REMEMBERED, one.subject)

    async def _judge_nowhere(self) -> None:
        """What stands before its fan's erasure is not written again when the journal lost it."""
        left, self._nowhere = self._nowhere, []
        if not left:
            return
        whose = {who for _, who in left}
        erased = await erased_before(self._connection, self._names, whose)
        for offset, who in left:
            if offset < erased.get((who, self._task.partition), -1):
                self.result.forgotten += 1
            else:
                self._differ(offset, NOWHERE)

    def _unnamed(self, offset: int, who: Relationship) -> None:
        """An event of a fan who has no subject: erased, unless a living subject has the event."""
        place = (self._task.partition, offset)
        if place not in self._task.journal:
            self._nowhere.append((offset, who))
        elif self._task.living is not None and place in self._task.living:
            self._differ(offset, OTHER_FAN)
        else:
            self.result.forgotten += 1

    def _differ(self, offset: int, reason: str, subject: bytes | None = None) -> None:
        partition = self._task.partition
        named = "" if subject is None else subject_text(subject)
        position = str(Position(INTERACTIONS.name, partition, offset))
        self.result.add(Difference("intake", partition, named, reason, position=position))


def _event_key(key: bytes, event: Interaction, task: IntakeTask, offset: int) -> bytes:
    """What stands for an event within its subject."""
    if event.event_id is None:
        position = Position(INTERACTIONS.name, task.partition, offset)
        return source_key(key, source_name(position, task.boundaries))
    return event_key(key, event.event_id, event.kind)


def _former_key(key: bytes, event: Interaction) -> bytes | None:
    """What may stand for it instead: former releases wrote the same key for every type."""
    if event.event_id is None or event.kind not in FORMER_KINDS:
        return None
    return former_event_key(key, event.event_id)
