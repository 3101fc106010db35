"""Accepting that a log lacks something: the way out for a partition that stopped.

One transaction: the break is marked as accepted, with who and when, and the position goes to where
the log is now. The worker that holds the partition sees that its position moved, and continues
within seconds. What the views know from lost journal records stays in them; `fanmemory verify`
names those fans, and `fanmemory rebuild` makes the views what the journal has.
"""

import contextlib
import getpass
import os

from admin.journal import open_journal
from infra.postgres import Connection, connecting, database_errors
from infra.settings import Settings
from schemas.errors import Misconfigured
from schemas.topics import INTERACTIONS, JOURNAL
from stores import generations, log_breaks, states
from stores.log_breaks import Lost

GONE = "the beginning is gone, and all of it was folded"


def operator() -> str:
    """Who this is, as far as the machine knows."""
    with contextlib.suppress(OSError, KeyError):
        return getpass.getuser()
    return f"uid {os.getuid()}"


async def accept_loss(settings: Settings, topic: str, partition: int, who: str) -> list[Lost]:
    """Give up what this partition's log lacks; returns what was given up.

    With a journal partition go the losses of `interactions` that can't be written there again.
    Raises `Misconfigured` when nothing is missing, and what the stores raise.
    """
    if topic not in (INTERACTIONS.name, JOURNAL.name):
        raise Misconfigured(f"{topic} is not read from a position.", hint="Name the log itself.")
    async with connecting(settings.postgres_url) as connection, database_errors():
        async with connection.transaction():
            lost = await _accept(connection, topic, partition, who)
        if not lost and topic == JOURNAL.name:
            lost = await _accept_beginning(connection, settings, partition, who)
    if not lost:
        raise Misconfigured(
            f"{topic}-{partition} does not wait for you: nothing of it is known to be missing.",
            hint="`fanmemory doctor` names the partitions that do.",
        )
    return lost


async def _accept(connection: Connection, topic: str, partition: int, who: str) -> list[Lost]:
    places = [(topic, partition)]
    if topic == JOURNAL.name:
        places += [
            (one.topic, one.partition)
            for one in await log_breaks.stopped(connection)
            if one.reason.endswith(f"({topic}-{partition})")
        ]
    accepted = []
    for place in places:
        lost = await log_breaks.accept(connection, *place, who)
        if lost is None:
            continue
        accepted.append(lost)
        await log_breaks.resume(connection, lost)
        if lost.topic == JOURNAL.name and lost.resume < lost.missing_until:
            live = await generations.live(connection)
            fans = await log_breaks.orphan_history(connection, partition, lost.resume)
            if live is not None:
                await states.cap_versions(connection, live.number, fans, lost.resume)
    return accepted


async def _accept_beginning(
    connection: Connection, settings: Settings, partition: int, who: str
) -> list[Lost]:
    """Views need nothing that they have folded; a rebuild or a verify would."""
    async with open_journal(settings) as journal:
        bounds = (await journal.bounds()).get(partition)
    if bounds is None or bounds.first == 0:
        return []
    lost = Lost(JOURNAL.name, partition, GONE, 0, bounds.first, bounds.first)
    await log_breaks.record_accepted(connection, lost, who)
    return [lost]
