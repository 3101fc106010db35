"""What goes backwards, injected: a log cut short or made again, a database restored.

Each is what the real thing leaves behind: a log that lost its tail (an unclean leader election,
power loss of a broker that had not flushed), a topic deleted and created by the same name, a
database brought back from a copy of its files. For embedded services only.
"""

import asyncio
import shutil
import signal
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from admin.topics import configuration, partitions_of
from infra.kafka import NewTopic, TopicAlreadyExistsError, admin, for_code
from infra.settings import Settings
from ops.services import EmbeddedServices
from schemas.errors import BrokerUnavailable
from schemas.topics import TOPICS

_BATCH_HEAD: Final = struct.Struct(">qi")
"""Base offset and length of a record batch, the first 12 bytes of each."""
_LAST_OFFSET_DELTA: Final = struct.Struct(">i")
_LAST_OFFSET_DELTA_AT: Final = 23
RECREATED_SECONDS_MAX: Final = 15.0


def cut_log(services: EmbeddedServices, topic: str, keep: Mapping[int, int]) -> dict[int, int]:
    """Kill Kafka, cut each partition to end at or before the given offset, start Kafka again.

    Returns the ends: batches are cut off whole, so an end may be lower than what was asked.
    """
    return cut_logs(services, {topic: keep})[topic]


def cut_logs(
    services: EmbeddedServices, keep: Mapping[str, Mapping[int, int]]
) -> dict[str, dict[int, int]]:
    """The same of several topics at once; `keep` and the ends are by topic and partition."""
    services.kill("kafka", signal.SIGKILL)
    home = services.data / "kafka" / "log"
    ends = {
        topic: {
            partition: _cut_partition(home / f"{topic}-{partition}", end)
            for partition, end in partitions.items()
        }
        for topic, partitions in keep.items()
    }
    (home / ".kafka_cleanshutdown").unlink(missing_ok=True)
    services.start_one("kafka")
    return ends


def _cut_partition(folder: Path, end: int) -> int:
    reached = 0
    for segment in sorted(folder.glob("*.log")):
        base = int(segment.stem)
        if base >= end and base > 0:
            segment.unlink()
            continue
        data = segment.read_bytes()
        at, reached = 0, base
        while at + _BATCH_HEAD.size <= len(data):
            offset, length = _BATCH_HEAD.unpack_from(data, at)
            if length <= 0:
                break  # preallocated space
            (delta,) = _LAST_OFFSET_DELTA.unpack_from(data, at + _LAST_OFFSET_DELTA_AT)
            if offset + delta + 1 > end:
                break
            reached = offset + delta + 1
            at += _BATCH_HEAD.size + length
        with segment.open("r+b") as file:
            file.truncate(at)
    # What Kafka derives from the log: it makes them again.
    for pattern in ("*.index", "*.timeindex", "*.txnindex", "*.snapshot"):
        for path in folder.glob(pattern):
            path.unlink()
    return reached


async def recreate_topic(settings: Settings, name: str) -> None:
    """Delete one topic with everything in it and create it again, empty."""
    (topic,) = (one for one in TOPICS if one.name == name)
    deadline = asyncio.get_running_loop().time() + RECREATED_SECONDS_MAX
    async with admin(settings) as client:
        await client.delete_topics([name])
        while True:
            response = await client.create_topics(
                [
                    NewTopic(
                        name=name,
                        num_partitions=partitions_of(topic, settings),
                        replication_factor=settings.replication_factor,
                        topic_configs=configuration(topic, settings.replication_factor),
                    )
                ]
            )
            code = response.topic_errors[0][1]
            if code == 0:
                break
            if code != TopicAlreadyExistsError.errno:
                raise for_code(code)
            _check(deadline)
            await asyncio.sleep(0.05)
        while True:
            (found,) = await client.describe_topics([name])
            if found["error_code"] == 0 and all(p["leader"] >= 0 for p in found["partitions"]):
                return
            _check(deadline)
            await asyncio.sleep(0.05)


def copy_database(services: EmbeddedServices, to: Path) -> None:
    """Stop Postgres, copy its files, start it again."""
    services.stop("postgres")
    shutil.copytree(services.data / "postgres" / "cluster", to, copy_function=_copy_owned)
    services.start_one("postgres")


def restore_database(services: EmbeddedServices, copy: Path) -> None:
    """Kill Postgres and put back the files of `copy_database`."""
    services.kill("postgres", signal.SIGKILL)
    cluster = services.data / "postgres" / "cluster"
    shutil.rmtree(cluster)
    shutil.copytree(copy, cluster, copy_function=_copy_owned)
    cluster.chmod(0o700)
    services.start_one("postgres")


def _copy_owned(source: str, target: str) -> str:
    shutil.copy2(source, target)
    owner = Path(source).stat()
    shutil.chown(target, owner.st_uid, owner.st_gid)
    return target


def _check(deadline: float) -> None:
    if asyncio.get_running_loop().time() > deadline:
        raise BrokerUnavailable("The topic was not made again in time.")
