"""Whether the logs still have what the positions have read: for the doctor."""

from infra.kafka import TopicPartition, broker_errors, reading
from infra.postgres import Connection
from infra.settings import Settings
from stores import log_breaks
from stores.log_breaks import Lost
from stores.positions import POSITION_SQL


async def stopped(connection: Connection) -> list[Lost]:
    """Partitions that wait for their operator."""
    return await log_breaks.stopped(connection)


async def ahead(connection: Connection, settings: Settings) -> dict[str, int]:
    """Positions beyond the end of their log, by `topic-partition`: how many records are gone."""
    rows = await connection.fetch(POSITION_SQL.statuses)
    nexts = {TopicPartition(row["topic"], row["partition"]): row["next"] for row in rows}
    if not nexts:
        return {}
    async with reading(settings) as consumer, broker_errors():
        ends = await consumer.end_offsets(list(nexts))
    return {
        f"{tp.topic}-{tp.partition}": next - ends[tp]
        for tp, next in nexts.items()
        if ends[tp] < next
    }
