"""The batched path through Faust: one event per (partition, fetch), start positions of our own.

Stock Faust hands an agent one record at a time (75-100 us of CPU each) and starts where Kafka's
consumer group last committed. Here a fetch stays whole, and after every assignment the start
positions are asked of the step, which keeps them in Postgres. Ordinary topics work beside it.

Leans on a few private parts of faust-streaming 0.15; `tests/streams/test_transport.py` has one
contract test for each:

* `transport.utils.DefaultSchedulingStrategy.iterate` yields `(tp, record)` to `_to_message`;
* `Schema.compile` returns the coroutine that turns a message into an event;
* `Consumer._new_consumer_thread`, `AIOKafkaConsumerThread._create_worker_consumer`, and that the
  aiokafka consumer it makes reads `_fetch_max_wait_ms` and `_isolation_level` when it starts;
* `AIOKafkaConsumerThread._fetch_records` returns what one fetch brought, `_seek_wait` and `seek`
  are the only ways to another place, and aiokafka's partition state tells the place afterwards;
* aiokafka's `seek` drops what was fetched ahead, and its client keeps one connection per broker
  for fetches and produced batches (`infra.kafka.link`);
* all fetches go through the `send` of the consumer's client (`infra.kafka_ids`);
* Faust drops a message whose offset is below the largest it has seen since a seek;
* `Consumer.perform_seek`, and in it `seek_to_committed`, is awaited after each assignment, before
  records flow; the fetching task calls it too, and must not;
* `AIOKafkaConsumerThread.call_thread` passes calls to two workers of the thread;
* `drivers.TRANSPORTS.aliases` maps a URL scheme to a transport class.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, NamedTuple

import faust
from aiokafka.structs import OffsetAndMetadata
from faust.transport import drivers
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP

from infra import kafka
from infra.kafka_ids import TopicIds

SCHEME: Final = "kafka+fetch"
FETCH_WAIT_MS: Final = 100
"""Faust hard-codes 1500: with it a hot partition waits for idle ones."""
POLL_SECONDS: Final = 0.1
"""Faust hard-codes 1.0, with the same effect."""
QUEUED_FETCHES_MAX: Final = 16

Claim = Callable[[list[int]], Awaitable[Mapping[int, int]]]
"""Takes the assigned partitions over and returns the next offset of each."""

_claims: dict[str, Claim] = {}
_fetching: ContextVar[bool] = ContextVar("_fetching", default=False)
"""Whether this is the task that fetches."""


class Records(list[Any]):
    """The records of one fetch of one partition, and the stretch of the log that was read for them.

    All that the log has for us from `start` to before `until` is in it. The stretch is longer than
    its records when there are transaction markers or aborted records, which are never handed
    out. Such a fetch may bring no records at all.
    """

    start: int
    until: int
    seek: int
    """Number of the seek that it follows: a fetch that was under way then has an earlier one."""
    link: int
    """Number of the topic's id and the connection to the partition's leader: with another of either
    it may be another log that is read on, and what was read before may be no more."""
    thrown_back: bool
    """Since that seek the log was found to lack the offset to read on from, and the consumer went
    back to the log's beginning by itself. True of all that follows, until the next seek."""


class Fetch:
    """What one fetch brought of one partition; looks like a record to Faust."""

    __slots__ = ("partition", "topic", "value")

    offset = 2**62
    """Above every offset, so that Faust drops none of what is read again after a seek back: a
    fetch that was on its way meanwhile makes it think that it has read further."""
    key = timestamp = timestamp_type = checksum = None
    headers = ()
    serialized_key_size = serialized_value_size = 0

    def __init__(self, tp: TP, records: Records) -> None:
        self.topic, self.partition = tp
        self.value = records


class FetchScheduler(DefaultSchedulingStrategy):
    """Hands the fetches of batched topics over whole, and the rest one by one as before."""

    def iterate(self, records: Mapping[TP, Any]) -> Iterator[tuple[TP, Any]]:
        plain = {}
        for tp, fetched in records.items():
            if tp.topic not in _claims:
                plain[tp] = fetched
            else:
                yield tp, Fetch(tp, fetched)
        if plain:
            yield from super().iterate(plain)


class _FetchSchema(faust.Schema[Any, Any]):
    """Gives the agent the list of records as it is."""

    def compile(self, app: Any, **_: Any) -> Any:
        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, None, message)

        return decode


class _Thread(driver.AIOKafkaConsumerThread):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._read: dict[TP, tuple[Any, int, int, bool]] = {}
        """Of each batched partition: its assigned state, how far it was read, which seek, and
        whether the log has thrown us back since."""
        self._seeks = 0
        self._links: dict[TP, tuple[_Source, int]] = {}

    async def call_thread(
        self, fun: Callable[..., Awaitable[Any]], *arguments: Any, **options: Any
    ) -> Any:
        """As Faust's, but who gives up waiting takes the call back.

        Two workers do all calls, and one about a topic that is being made again ends after 40 s
        only: two such calls, given up long ago, kept the seeks of a claim waiting.
        """
        calls: list[asyncio.Future[Any]] = []

        async def called() -> Any:
            found = fun(*arguments, **options)
            if not inspect.isawaitable(found):
                return found
            calls.append(asyncio.ensure_future(found))
            return await calls[0]

        try:
            return await super().call_thread(called)
        except asyncio.CancelledError:
            with contextlib.suppress(RuntimeError):  # the thread has ended
                self.thread_loop.call_soon_threadsafe(lambda: [one.cancel() for one in calls])
            raise

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # What another producer's transaction took back was never said.
        consumer._isolation_level = "read_committed"
        self._ids = TopicIds(consumer._client)
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[Any, Any]:
        active = set(active_partitions)  # Faust changes its own while we wait
        links = {tp: self._link(consumer, tp) for tp in active if tp.topic in _claims}
        fetched = dict(await super()._fetch_records(consumer, active, timeout, max_records))
        for tp in active:
            place = _place(consumer, tp)
            if tp in links and self._link(consumer, tp) != links[tp]:
                # Nobody knows by which of the two it came: it is read again.
                records, known = fetched.pop(tp, None), self._read.get(tp)
                if records and place is not None:
                    ours = known is not None and known[0] is place
                    consumer.seek(tp, known[1] if known and ours else records[0].offset)
                continue
            if tp.topic not in _claims or place is None or not place.has_valid_position:
                continue
            known, start, seek, thrown_back = self._read.get(tp, (None, 0, 0, False))
            thrown_back |= known is place and place.position < start
            if tp in fetched:
                records = Records(fetched[tp])
                # Where an unknown stretch begins is not known: with its first record, then.
                records.start = start if known is place else records[0].offset
            elif known is place and start != place.position:
                records = Records()
                records.start = start
            else:
                continue
            records.until = place.position
            records.seek = seek
            records.link = links[tp]
            records.thrown_back = thrown_back
            fetched[tp] = records
            # Also when Faust drops them, as it may: the next fetch begins behind them, which shows.
            self._read[tp] = (place, place.position, seek, thrown_back)
        return fetched

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        self._seeks += 1
        for tp, offset in partitions.items():
            self._read[tp] = (_place(consumer, tp), offset, self._seeks, False)
        await super()._seek_wait(consumer, partitions)

    def _link(self, consumer: Any, tp: TP) -> int:
        """When there is another link, what came by the former one and was not handed out yet is
        dropped, and read again: so nothing is ever taken for having come by a later one."""
        link = _Source(kafka.link(consumer._client, *tp), self._ids.of(tp.topic))
        known, number = self._links.get(tp, (None, 0))
        if link != known:
            number += 1
            self._links[tp] = link, number
            place = _place(consumer, tp)
            if place is not None and place.has_valid_position:
                consumer.seek(tp, place.position)
        return number

    async def links(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Also learns the topics' ids where that is possible now: else they come with a fetch."""
        consumer = self._ensure_consumer()
        for tp in tps:
            await kafka.link_leaders(consumer._client, tp.topic, [tp.partition])
            leader = consumer._client.cluster.leader_for_partition(tp)
            if leader in (None, -1):
                continue
            with contextlib.suppress(*kafka.ERRORS):
                async with asyncio.timeout(kafka.LINK_SECONDS_MAX):
                    await self._ids.learn(leader, [tp.topic])
        return {tp: self._link(consumer, tp) for tp in tps}

    def seek(self, partition: TP, offset: int) -> None:
        self._read.pop(partition, None)
        super().seek(partition, offset)


class _Source(NamedTuple):
    """Where what is fetched of a partition comes from."""

    link: kafka.Link
    topic: bytes | None
    """Its id; None where the broker knows it by name only."""


def _place(consumer: Any, tp: TP) -> Any:
    """What aiokafka knows of a partition in the assignment of now; None when it is not ours."""
    subscription = consumer._fetcher._subscriptions.subscription
    assignment = subscription.assignment if subscription is not None else None
    return assignment.state_value(tp) if assignment is not None and tp in assignment.tps else None


class _Consumer(driver.Consumer):
    def _new_consumer_thread(self) -> Any:
        return _Thread(self, loop=self.loop, beacon=self.beacon)

    def getmany(self, timeout: float) -> Any:
        _fetching.set(True)
        return super().getmany(min(timeout, POLL_SECONDS))

    async def perform_seek(self) -> None:
        """Seek after an assignment, and at no other time.

        Faust also seeks when a fetch returns while a rebalance has stopped the flow. With claims
        that would be wrong: they could come after those of the partitions' next owner and fence it.
        Whatever was fetched is dropped then, and the rebalance ends with a seek of its own.
        """
        if not _fetching.get():
            await super().perform_seek()

    async def links(self, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """Partition -> number of its topic and the connection to its leader (`Records.link`)."""
        tps = [TP(topic, partition) for partition in partitions]
        thread: Any = self._thread
        found = await thread.call_thread(thread.links, tps)
        return {tp.partition: number for tp, number in found.items()}

    async def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the aiokafka consumer on its own thread."""
        return await self._thread.call_thread(
            getattr(self._thread._ensure_consumer(), method), *arguments
        )

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Seek every assigned partition: batched ones to where their claim says.

        A claim that raises ends the worker. It must end before Faust's own deadline, after which
        Faust would continue without the seek, silently.
        """
        plain = []
        # A topic of which nothing is ours now is claimed too: its former partitions are let go of.
        claimed: dict[str, list[int]] = {topic: [] for topic in _claims}
        for tp in self.assignment():
            if tp.topic in _claims:
                claimed[tp.topic].append(tp.partition)
            else:
                plain.append(driver.ensure_aiokafka_TP(tp))
        offsets: dict[Any, int] = {}
        if plain:
            offsets |= await self.call("seek_to_committed", *plain)
        for topic, partitions in claimed.items():
            deadline = self.app.conf.broker_request_timeout / 2
            starts = await asyncio.wait_for(_claims[topic](sorted(partitions)), deadline)
            found = {TP(topic, partition): offset for partition, offset in starts.items()}
            await self.seek_wait(found)
            offsets |= found
        return offsets

    async def commit_advisory(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Tell Kafka how far we are, for tools that show lag. Nothing depends on it."""
        ours = self.assignment()
        known = {
            driver.ensure_aiokafka_TP(TP(topic, partition)): OffsetAndMetadata(offset, "")
            for partition, offset in offsets.items()
            if TP(topic, partition) in ours
        }
        if known:
            await self.call("commit", known)


class Transport(driver.Transport):
    Consumer = _Consumer


def install() -> None:
    """Make `kafka+fetch://` known to Faust."""
    drivers.TRANSPORTS.aliases[SCHEME] = f"{__name__}:Transport"


def fetch_topic(app: Any, name: str, claim: Claim) -> Any:
    """A topic whose agent receives lists of records, starting where `claim` says."""
    _claims[name] = claim
    topic = app.topic(name, schema=_FetchSchema(), acks=False)
    # `app.topic(maxsize=)` is dropped by Faust; without a bound a slow agent fills the memory.
    topic.maxsize = QUEUED_FETCHES_MAX
    return topic


def batched_topics() -> Iterable[str]:
    return _claims.keys()
