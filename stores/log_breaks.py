"""Log breaks: each time that a log was found to have gone backwards, and what became of it.

A `stopped` break keeps its partition from continuing until an operator accepts the loss, which is
kept too: who, when, and what was given up.
"""

from pathlib import Path
from typing import Final, NamedTuple

from infra.postgres import Connection
from infra.sql import load_queries

_QUERIES: Final = load_queries(Path(__file__).parent / "sql" / "log_breaks.sql")


class Lost(NamedTuple):
    """What a partition's log lacks; `missing` offsets are from, and up to but without."""

    topic: str
    partition: int
    reason: str
    missing_from: int
    missing_until: int
    resume: int
    """Where the partition continues when the loss is accepted. Of a tail that is written again: the
    end of the log, behind which that will stand."""

    def __str__(self) -> str:
        return (
            f"{self.topic}-{self.partition}: {self.reason}; offsets {self.missing_from} to"
            f" {self.missing_until - 1} are missing"
        )

    @property
    def advice(self) -> str:
        return (
            "Restore the topic, or give up what is missing with"
            f" `fanmemory accept-loss {self.topic} {self.partition}`."
        )


async def record_healed(connection: Connection, lost: Lost) -> None:
    """Remember a break that was mended from what is still there."""
    await connection.execute(_QUERIES.record_healed, *lost)


async def written_ahead(
    connection: Connection, topic: str, partition: int, reason: str
) -> list[tuple[int, int]]:
    """From where up to where records were written before losses for this reason were noticed.

    They stand ahead of older events, which were written again behind them: so the newest of them
    does not prove that all before it are there, as soon as the log has lost those once more.
    """
    rows = await connection.fetch(_QUERIES.written_ahead, topic, partition, reason)
    return [(row["first"], row["until"]) for row in rows]


async def record_stopped(connection: Connection, lost: Lost) -> None:
    """Remember a break that keeps its partition from continuing; one per partition."""
    await connection.execute(_QUERIES.record_stopped, *lost)


async def settle(connection: Connection, topic: str, partition: int) -> None:
    """The partition can continue after all: its log was restored."""
    await connection.execute(_QUERIES.settle, topic, partition)


async def stopped(connection: Connection) -> list[Lost]:
    """Every partition that waits for its operator."""
    return [Lost(*row) for row in await connection.fetch(_QUERIES.stopped)]


async def record_accepted(connection: Connection, lost: Lost, who: str) -> None:
    """Remember a loss that was accepted before it stopped anything."""
    await connection.execute(_QUERIES.record_accepted, *lost, who)


async def accepted(connection: Connection, topic: str) -> dict[int, int]:
    """Partition -> offset below which losses of it were accepted."""
    rows = await connection.fetch(_QUERIES.accepted, topic)
    return {row["partition"]: row["until"] for row in rows}


async def resume(connection: Connection, lost: Lost) -> None:
    """Put the position of an accepted loss to where its log is now, and fence its holder."""
    await connection.execute(_QUERIES.resume, lost.topic, lost.partition, lost.resume)


async def orphan_history(connection: Connection, partition: int, start: int) -> list[bytes]:
    """Events of lost journal records stay in the history, at no place; whose they are."""
    rows = await connection.fetch(_QUERIES.orphan_history, partition, start)
    return sorted({row["subject"] for row in rows})


async def accept(connection: Connection, topic: str, partition: int, who: str) -> Lost | None:
    """Mark a stopped break as accepted; None when there is none. In the caller's transaction."""
    row = await connection.fetchrow(_QUERIES.accept, topic, partition, who)
    return None if row is None else Lost(*row)
