"""What the cache answers of the fans of one partition, against the refold and against Postgres.

The cache moves while the snapshot stands still: a cached fan at another version is looked at again,
next to what Postgres says at that moment, until both are at one version or the cache has stood
still behind for too long. A cache that is away, or full, holds nothing wrong: it is not compared.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from admin.verify.differences import (
    Difference,
    differing_fields,
    newest_shown,
    subject_text,
)
from privacy.keys import Keyring
from privacy.subjects import Subject, journal_partition
from schemas.errors import CacheUnavailable, SealBroken
from schemas.journal import JournalEntry
from stores.cache import Cache
from stores.cached import Cached, open_cached, remembered
from stores.folding import Folded, OpenedRecord
from stores.recent import Recent
from stores.snapshot import SealedSnapshot
from stores.store import Store

STALE_SECONDS: Final = 10.0
"""A cached fan that stands behind Postgres for so long is stale; a push takes milliseconds."""
LOOK_AGAIN_SECONDS: Final = 0.05
OTHER_SUBJECT: Final = "(of another subject)"
UNOPENED: Final = "(can't be opened)"
FORGOTTEN: Final = "(of whom nothing stands)"


class RefoldedFan(NamedTuple):
    """One fan as the journal says."""

    subject: Subject
    folded: Folded | None
    """None when nothing of this fan could be folded."""
    history: list[OpenedRecord]


def _entries(records: Iterable[OpenedRecord]) -> list[tuple[int, JournalEntry]]:
    return [(one.offset, one.entry) for one in records]


class CachedComparison:
    """Compares fans of one partition; what was seen stands in its fields."""

    def __init__(
        self,
        cache: Cache,
        store: Store,
        keyring: Keyring,
        generation: int,
        partitions: int,
        progress: Callable[[int], None],
    ) -> None:
        self._cache = cache
        self._store = store
        self._keyring = keyring
        self._generation = generation
        self._partitions = partitions
        self._progress = progress
        self.compared = 0
        self.looked_again = 0
        self.lost = False
        """The cache did not answer: fans from there on were not compared with it."""

    async def compare(self, fans: Sequence[RefoldedFan]) -> list[Difference]:
        """Raises `DatabaseUnavailable`."""
        if self.lost:
            return []
        found: list[Difference] = []
        pairs = [(fan.subject.creator_id, fan.subject.fan_id) for fan in fans]
        try:
            cached = await self._cache.stored(pairs)
            for fan, each in zip(fans, cached, strict=True):
                if each is not None:
                    found += await self._compare_fan(fan, each)
        except CacheUnavailable:
            self.lost = True
        return found

    async def _compare_fan(self, fan: RefoldedFan, cached: Cached) -> list[Difference]:
        self.compared += 1
        subject, folded = fan.subject, fan.folded
        partition = journal_partition(subject.id, self._partitions)
        if (cached.subject, cached.partition) != (subject.id, partition):
            return [self._difference(subject.id, OTHER_SUBJECT)]
        expected = (self._generation, 0 if folded is None else folded.version)
        if (cached.generation, cached.version) != expected:
            self.looked_again += 1
            return await self._look_again(subject)
        if folded is None:
            return []
        # What could not be folded is in the history, but was never pushed.
        history = _entries(fan.history) if folded.shown is None else folded.shown
        right = [newest_shown(subject, history)]
        if folded.shown is None and len(fan.history) != len(folded.opened):
            right.append(newest_shown(subject, _entries(folded.opened)))
        return self._compare(subject, cached, folded.document, right)

    async def _look_again(self, subject: Subject) -> list[Difference]:
        """Compare a cached fan that moves, or stands still, with Postgres as it is now."""
        clock = asyncio.get_running_loop().time
        seen: tuple[int, int] | None = None
        since = clock()
        while True:
            cached = (await self._cache.stored([(subject.creator_id, subject.fan_id)]))[0]
            stored = await self._store.stored(subject.creator_id, subject.fan_id)
            if cached is None:
                return []
            version = (cached.generation, cached.version)
            if stored is not None and version == (stored.generation, stored.version):
                return self._same_version(subject, stored, cached)
            if version != seen:
                seen, since = version, clock()
            elif clock() - since > STALE_SECONDS:
                actual = cached.version
                expected = 0 if stored is None else stored.version
                return [self._difference(subject.id, "version", expected, actual)]
            self._progress(0)
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    def _same_version(
        self, subject: Subject, stored: SealedSnapshot, cached: Cached
    ) -> list[Difference]:
        who = subject.creator_id, subject.fan_id
        right = remembered(stored, who, self._keyring)
        if right is None:
            return [self._difference(subject.id, FORGOTTEN)]
        return self._compare(subject, cached, right.state, [right.recent])

    def _compare(
        self, subject: Subject, cached: Cached, state: bytes, right: Sequence[Recent]
    ) -> list[Difference]:
        try:
            opened = open_cached(cached, (subject.creator_id, subject.fan_id), self._keyring)
        except SealBroken:
            return [self._difference(subject.id, UNOPENED)]
        paths = list(differing_fields(state, opened.state))
        if opened.recent not in right:
            paths.append("messages")
        return [self._difference(subject.id, path) for path in paths]

    def _difference(
        self, subject: bytes, field: str, expected: int | None = None, actual: int | None = None
    ) -> Difference:
        partition = journal_partition(subject, self._partitions)
        return Difference("cache", partition, subject_text(subject), field, expected, actual)
