"""The feed: what `memory-updates` says, handed to the streams that are open in this process.

One consumer without a group, begun with the first stream: a process without streams reads nothing.
It begins so far back that its ring is full, so that clients of a process that went away go on here.

    Kafka is away        the consumer comes back and reads on where it was; nothing is lost
    the log is another   every stream is told `reset`, and a new ring begins

Whether the log is the same is seen from the newest record that the ring has of a partition: after
each new connection to its leader it is read once more, and must be the same.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Container, Sequence
from typing import Any, Final, Literal

import msgspec

from api.metrics import ApiMetrics
from api.stream_ring import SIZE, Place, Ring, Update, begins_of
from infra import kafka
from infra.deadlines import Deadlines
from infra.retry import Backoff, retried, worth_saying
from infra.settings import Settings
from schemas.errors import BrokerUnavailable, Overloaded
from schemas.topics import MEMORY_UPDATES
from schemas.updates import decode_update, encode_update
from stores.revocations import Issued

log = logging.getLogger(__name__)

BEHIND_MAX: Final = 256
"""Updates that may wait for a client to take them."""
CHUNK_EVENTS: Final = 64
"""Events of one write, while a client catches up."""
POLL_MS: Final = 1_000
RECORDS_MAX: Final = 500
"""Taken at once: 3 ms, before other requests get the loop."""
PAUSE_SHARE: Final = 2.0
"""After each round the feed rests for so much longer than it worked: more updates come with the
next, and each stream writes once for all of them."""
PAUSE_SECONDS_MAX: Final = 0.1
BEGIN_SECONDS_MAX: Final = 5.0
"""For the first stream, until the ring is full: 65,536 updates take about 1 s."""
CATCH_UP_SECONDS_MAX: Final = 2.0
"""How long a client that is ahead of this process waits for it; the processes differ by
milliseconds."""
COMMENT_SECONDS: Final = 15.0
"""Of silence: below the 30 to 60 s after which proxies close what is silent."""
WRITE_SECONDS_MAX: Final = 30.0
"""For a client to take 64 KiB; then it is gone for all we know."""
ABORT_SECONDS: Final = 0.5
"""After which a stop waits no more for clients that take nothing."""
BACKOFF: Final = Backoff(0.1, 2.0, 0.5, 1.0)

Reset = Literal["unknown", "behind", "log"]
"""Why a client has to read again: its place is outside of the ring, it took too long, the topic is
another."""


class LogBroke(Exception):
    """The log does not go on behind what was read of it."""


class Subscription:
    """What one stream is still to be sent."""

    def __init__(self, creator_id: str, fan_id: str | None) -> None:
        self.creator_id = creator_id
        self.fan_id = fan_id
        self.issued: Issued | None = None
        """By what the token of whoever asks can be revoked."""
        self.woken = asyncio.Event()
        self.ended = False
        self.abort: Callable[[], None] = self.end
        """Closes the connection, whatever waits to be taken."""
        self._missed: deque[bytes] = deque()
        """From before it came; these don't count as being behind."""
        self._live: deque[bytes] = deque()

    def miss(self, events: Sequence[tuple[Place, bytes]]) -> None:
        """What it is sent first."""
        self._missed.extend(_event(place, event) for place, event in events)
        self.woken.set()

    def tell(self, event: bytes) -> bool:
        """One more; False when too many wait already."""
        if len(self._live) >= BEHIND_MAX:
            return False
        self._live.append(event)
        self.woken.set()
        return True

    def reset(self, why: Reset, place: Place | None) -> None:
        """Instead of all that waits."""
        self._missed.clear()
        self._live.clear()
        told = b'event: reset\ndata: {"reason":"%s"}\n\n' % why.encode()
        self._live.append(told if place is None else _event(place, told))
        self.woken.set()

    def end(self) -> None:
        self.ended = True
        self.woken.set()

    @property
    def waits(self) -> bool:
        """Whether there is something to be written."""
        return bool(self._missed or self._live)

    def take(self) -> list[bytes]:
        """What is written next, if there is anything."""
        if self._missed:
            count = min(len(self._missed), CHUNK_EVENTS)
            return [self._missed.popleft() for _ in range(count)]
        taken = list(self._live)
        self._live.clear()
        return taken


def _event(place: Place, event: bytes) -> bytes:
    return b"id: %s\n%s" % (str(place).encode(), event)


class Feed:
    """Belongs to one event loop; `close` it there."""

    def __init__(self, settings: Settings, metrics: ApiMetrics, size: int = SIZE) -> None:
        self._settings = settings
        self._name = kafka.named(settings, MEMORY_UPDATES.name)
        self._metrics = metrics
        self._size = size
        self._ring: Ring | None = None
        self._task: asyncio.Task[None] | None = None
        self._ready = asyncio.Event()
        """The ring is full, and has reached what was the end when it was begun."""
        self._ends: dict[int, int] = {}
        self._doubted: dict[int, int] = {}
        """Partition -> time of the newest record that was read, to be read once more."""
        self._links: dict[int, kafka.Link] = {}
        self._moved = asyncio.Event()
        self._open: dict[str, set[Subscription]] = {}
        """By creator."""
        self._stopped = False
        self.silence = Deadlines(COMMENT_SECONDS)
        self.writing = Deadlines(WRITE_SECONDS_MAX)

    async def close(self) -> None:
        self.stop()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def stop(self) -> None:
        """End every stream, and begin no other."""
        if self._stopped:
            return
        self._stopped = True
        self._end_all()
        asyncio.get_running_loop().call_later(ABORT_SECONDS, self._abort_all)

    def _abort_all(self) -> None:
        for subscriptions in self._open.values():
            for one in subscriptions:
                one.abort()

    def end_revoked(self, revoked: Container[Issued]) -> None:
        """End the streams of tokens that are good no more."""
        for subscriptions in self._open.values():
            for one in subscriptions:
                if one.issued in revoked:
                    one.end()

    def _end_all(self) -> None:
        for subscriptions in self._open.values():
            for one in subscriptions:
                one.end()

    async def subscribe(
        self, creator_id: str, fan_id: str | None, last: Place | None, *, knows: bool
    ) -> tuple[Subscription, Place | None]:
        """A stream that goes on behind `last`; `knows` says whether the client had a place at all.

        Also where the stream begins, for a client that had none. Raises `BrokerUnavailable` while
        the brokers have not been reached, and `Overloaded` when the process ends.
        """
        if last is not None:
            await self._begun()
            await self._until(last)
        ring = await self._begun()  # nothing is read between this and the end
        if self._stopped:
            raise Overloaded("This process is about to end.")
        one = Subscription(creator_id, fan_id)
        if knows:
            missed = None if last is None else ring.after(last, creator_id, fan_id)
            if missed is None:
                self._reset(one, "unknown", ring.place)
            else:
                one.miss(missed)
        self._open.setdefault(creator_id, set()).add(one)
        return one, None if knows else ring.place

    def announce(self, creator_id: str, event: bytes) -> None:
        """Tell the streams of all fans of a creator something that has no place in the log."""
        for one in self._open.get(creator_id, ()):
            if one.fan_id is None and not one.tell(event):
                self._reset(one, "behind", self.place())

    def leave(self, one: Subscription) -> None:
        theirs = self._open.get(one.creator_id, set())
        theirs.discard(one)
        if not theirs:
            self._open.pop(one.creator_id, None)

    def place(self) -> Place | None:
        """Of a stream that has nothing left to send."""
        return None if self._ring is None else self._ring.place

    async def _begun(self) -> Ring:
        if self._task is None and not self._stopped:
            self._task = asyncio.create_task(self._run())
            self._task.add_done_callback(self._broken)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(BEGIN_SECONDS_MAX):
                await self._ready.wait()
        if self._ring is None or not self._ready.is_set():
            raise BrokerUnavailable(
                "Updates can't be read now.", hint="Try again; meanwhile read the context itself."
            )
        return self._ring

    async def _until(self, place: Place) -> None:
        """Wait until this process has read as far, for a short while."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_SECONDS_MAX):
                while self._ring is None or not self._ring.reaches(place):
                    self._moved.clear()
                    await self._moved.wait()

    def _broken(self, task: asyncio.Task[None]) -> None:
        """Whatever else went wrong: streams end, and the next one begins again."""
        if task.cancelled():
            return
        log.error("the feed broke", exc_info=task.exception())
        self._task = self._ring = None
        self._ready.clear()
        self._end_all()

    def _reset(self, one: Subscription, why: Reset, place: Place | None) -> None:
        one.reset(why, place)
        self._metrics.stream_reset(why)

    # What the consumer does.

    async def _run(self) -> None:
        while True:
            await retried(self._follow, BACKOFF, on=BrokerUnavailable, told=self._told)
            await asyncio.sleep(BACKOFF.first_seconds)

    def _told(self, attempt: int, error: BaseException) -> None:
        if worth_saying(attempt):
            log.warning("the feed waits for %s", type(error).__name__, extra={"attempt": attempt})

    async def _follow(self) -> None:
        """Read until something breaks; returns when the log is another one."""
        consumer = kafka.reader(
            self._settings,
            client_id="fanmemory-api-updates",
            auto_offset_reset="none",
            request_timeout_ms=10_000,
            max_partition_fetch_bytes=1 << 19,
        )
        await kafka.connect(consumer)
        try:
            async with kafka.broker_errors():
                try:
                    await self._begin(consumer)
                    while True:
                        await self._round(consumer)
                except (kafka.OffsetOutOfRangeError, LogBroke):
                    self._start_over()
        finally:
            await kafka.disconnect(consumer)

    async def _begin(self, consumer: Any) -> None:
        """Stand behind what the ring has, or so far back that a new one begins full."""
        cluster = await consumer._client.fetch_all_metadata()
        numbers = sorted(cluster.partitions_for_topic(self._name) or ())
        if numbers != list(range(len(numbers))) or not numbers:
            raise BrokerUnavailable("The topic of memory updates is not there.")
        places = [kafka.TopicPartition(MEMORY_UPDATES.name, number) for number in numbers]
        first = {at.partition: n for at, n in (await consumer.beginning_offsets(places)).items()}
        self._ends = {at.partition: n for at, n in (await consumer.end_offsets(places)).items()}
        ring = self._ring
        if ring is None:
            ring = self._ring = Ring(begins_of(first, self._ends, self._size), self._size)
        if len(ring.next) > len(numbers):
            raise LogBroke
        ring.grow(len(numbers))
        consumer.assign(places)
        await kafka.link_leaders(consumer._client, self._name, numbers)
        self._doubted.clear()
        self._links.clear()
        self._doubt_new_links(consumer, ring)
        self._see_whether_full(ring)

    def _doubt_new_links(self, consumer: Any, ring: Ring) -> set[int]:
        """Go one record back wherever the connection to the leader is not what it was."""
        changed = set()
        for partition in range(len(ring.next)):
            link = kafka.link(consumer._client, self._name, partition)
            if self._links.get(partition) == link:
                continue
            self._links[partition] = link
            changed.add(partition)
            newest, offset = ring.newest(partition), ring.next[partition]
            if newest is not None:
                self._doubted[partition] = newest.time
                offset = newest.offset
            consumer.seek(kafka.TopicPartition(MEMORY_UPDATES.name, partition), offset)
        return changed

    async def _round(self, consumer: Any) -> None:
        ring = self._ring
        if ring is None:
            raise LogBroke
        found = await consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
        began = time.perf_counter()
        known = consumer._client.cluster.partitions_for_topic(self._name) or ()
        if len(known) > len(ring.next):
            raise BrokerUnavailable("There are more partitions.")  # begin again, with them
        # What came by another way than before may be of another log: it is asked for once more.
        changed = self._doubt_new_links(consumer, ring)
        for place, records in found.items():
            if place.partition not in changed:
                for record in records:
                    self._take(ring, record)
        self._see_whether_full(ring)
        if found:
            self._moved.set()
            pause = (time.perf_counter() - began) * PAUSE_SHARE
            if self._ready.is_set():
                await asyncio.sleep(min(pause, PAUSE_SECONDS_MAX))

    def _see_whether_full(self, ring: Ring) -> None:
        if not self._ready.is_set() and all(
            ring.next[partition] >= end for partition, end in self._ends.items()
        ):
            self._ready.set()

    def _take(self, ring: Ring, record: Any) -> None:
        partition = record.partition
        doubted = self._doubted.pop(partition, None)
        if doubted is not None:
            if record.offset != ring.next[partition] - 1 or _mark_of(record) != doubted:
                raise LogBroke
            return
        if record.offset < ring.next[partition]:
            return
        update = update_of(record)
        ring.add(update)
        listening = self._open.get(update.creator_id)
        if not listening or not update.creator_id:
            return
        event = _event(ring.place, update.event)
        for one in listening:
            if (one.fan_id is None or one.fan_id == update.fan_id) and not one.tell(event):
                self._reset(one, "behind", ring.place)

    def _start_over(self) -> None:
        """Nothing that was said of places counts any more."""
        log.warning("the log of memory updates is another one: every stream reads again")
        self._ring = None
        self._ready.clear()
        for subscriptions in self._open.values():
            for one in subscriptions:
                self._reset(one, "log", None)


def update_of(record: Any) -> Update:
    """What a record says; without a creator when that is nothing that we have written."""
    partition, offset, time = record.partition, record.offset, _mark_of(record)
    try:
        update = decode_update(record.value or b"")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Update(partition, offset, time, "", "", b"")
    name = b"erased" if update.erased is True else b"update"
    event = b"event: %s\ndata: %s\n\n" % (name, encode_update(update))
    return Update(partition, offset, time, update.creator_id, update.fan_id, event)


def _mark_of(record: Any) -> int:
    """Not below 0, which a producer that knows no time may write."""
    return max(int(record.timestamp), 0)
