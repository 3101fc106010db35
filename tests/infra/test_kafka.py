"""Where a key's records go: as every Kafka client would put them."""

from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as some

from infra.kafka import partition_of


@given(some.binary(max_size=300), some.integers(1, 1000))
def test_a_key_has_the_partition_that_kafkas_default_partitioner_gives_it(
    key: bytes, partitions: int
) -> None:
    assert partition_of(key, partitions) == (murmur2(key) & 0x7FFFFFFF) % partitions
