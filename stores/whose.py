"""Whose an event is that names no fan, but another event of theirs.

Some platforms tell that a message was taken back by its id alone. The history knows events by
hashes under each fan's own key, on purpose: nobody who reads the table can look for an id. So the
id is hashed under the key of each of the creator's fans, some hundred at a time, and those are
looked for. That is 7.5 us of CPU a fan, which a webhook of this rare kind is worth; no table has
to remember which fan an id belongs to, or to forget it.
"""

import asyncio
from typing import Final

from infra.postgres import Connection
from privacy.keys import Keyring
from privacy.seal import event_key
from privacy.subjects import Subjects
from schemas.details import Kind
from stores import history

PAGE_FANS: Final = 500
"""Hashed at a time: some milliseconds, in which nothing else runs."""


async def fan_with(
    connection: Connection, keyring: Keyring, creator_id: str, event_id: str, kind: Kind
) -> str | None:
    """The one fan of this creator who has this event; None when nobody has, or several have."""
    subjects, found = Subjects(keyring, 0), None
    async for page in subjects.of_creator(connection, creator_id, PAGE_FANS):
        events = [(one.id, event_key(one.key, event_id, kind)) for one in page]
        holding = await history.who_hold(connection, events) if events else set()
        for one in page:
            if one.id in holding:
                if found is not None:
                    return None
                found = one.fan_id
        await asyncio.sleep(0)
    return found
