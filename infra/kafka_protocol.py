"""The versions of two requests that know topics by their ids, as aiokafka's own are written.

aiokafka 0.14 speaks Fetch up to version 11 and Metadata up to 5, which have names only. Fetch 13
and Metadata 12 came with Kafka 3.1. A request here raises `IncompatibleBrokerVersion` where the
broker does not know both.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

NO_ID: Final = bytes(16)
"""Of a cluster whose topics have none."""


class _Uuid(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: Any) -> bytes:
        found: bytes = data.read(len(NO_ID))
        return found


_TAGS: Final = ("tags", TaggedFields)


class FetchedById13(Response):
    API_KEY = 1
    API_VERSION = 13
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("session_id", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("highwater_offset", Int64),
                        ("last_stable_offset", Int64),
                        ("log_start_offset", Int64),
                        (
                            "aborted_transactions",
                            CompactArray(("producer_id", Int64), ("first_offset", Int64), _TAGS),
                        ),
                        ("preferred_read_replica", Int32),
                        ("records", CompactBytes),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class FetchById13(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 1
    API_VERSION = 13
    RESPONSE_TYPE = FetchedById13
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("max_wait_time", Int32),
        ("min_bytes", Int32),
        ("max_bytes", Int32),
        ("isolation_level", Int8),
        ("session_id", Int32),
        ("session_epoch", Int32),
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("fetch_offset", Int64),
                        ("last_fetched_epoch", Int32),
                        ("log_start_offset", Int64),
                        ("max_bytes", Int32),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        (
            "forgotten_topics_data",
            CompactArray(("topic_id", _Uuid), ("partitions", CompactArray(Int32)), _TAGS),
        ),
        ("rack_id", CompactString("utf-8")),
        _TAGS,
    )


class Ids12(Response):
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                _TAGS,
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        _TAGS,
                    ),
                ),
                ("authorized_operations", Int32),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class IdsRequest12(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = Ids12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", _Uuid), ("topic", CompactString("utf-8")), _TAGS),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        _TAGS,
    )


Versions = Mapping[int, tuple[int, int]]
"""Of each kind of request, the first and the last that a broker knows."""


class FetchById(Request[FetchById13]):
    """The same as `plain`, for the topics that have ids here."""

    API_KEY = 1

    def __init__(self, plain: FetchRequest, ids: Mapping[str, bytes]) -> None:
        self._plain = plain
        self._ids = ids

    def prepare(self, versions: Versions) -> Any:
        _require_ids(versions)
        return super().prepare(versions)

    def build(self, request_struct_class: type[FetchById13]) -> FetchById13:
        plain = self._plain.build(FetchRequest_v11)
        topics: list[Any] = [
            (
                self._ids[topic],
                [
                    (partition, epoch, offset, -1, start, size, {})
                    for partition, epoch, offset, start, size in partitions
                ],
                {},
            )
            for topic, partitions in plain.topics
            if topic in self._ids
        ]
        return request_struct_class(
            plain.replica_id,
            plain.max_wait_time,
            plain.min_bytes,
            plain.max_bytes,
            plain.isolation_level,
            plain.session_id,
            plain.session_epoch,
            topics,
            [],
            plain.rack_id,
            {},
        )


class IdsRequest(Request[IdsRequest12]):
    """Which ids these topics have."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = topics

    def prepare(self, versions: Versions) -> Any:
        _require_ids(versions)
        return super().prepare(versions)

    def build(self, request_struct_class: type[IdsRequest12]) -> IdsRequest12:
        topics: list[Any] = [(NO_ID, topic, {}) for topic in self._topics]
        return request_struct_class(topics, False, False, {})


def _require_ids(versions: Versions) -> None:
    for one in (FetchById13, IdsRequest12):
        low, high = versions.get(one.API_KEY, (0, 0))
        if not low <= one.API_VERSION <= high:
            raise IncompatibleBrokerVersion("This broker knows topics by their names only.")
