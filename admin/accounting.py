"""Accounting: what became of every event, from the counters that the commits keep.

sent = accepted + dead letters, and once drained
accepted = applied + duplicates + forgotten + quarantined.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from schemas.errors import DeadlineExceeded
from schemas.topics import INTERACTIONS
from stores.store import Store

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Account:
    """Sums over all partitions."""

    accepted: int = 0
    dead_letters: int = 0
    applied: int = 0
    duplicates: int = 0
    repeats: int = 0
    forgotten: int = 0
    quarantined: int = 0

    @property
    def read(self) -> int:
        """Events that ingest has judged."""
        return self.accepted + self.dead_letters

    @property
    def folded(self) -> int:
        """Accepted events whose fate in the views is settled."""
        return self.applied + self.duplicates + self.forgotten + self.quarantined

    def since(self, earlier: "Account") -> "Account":
        return Account(
            **{f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(Account)}
        )


async def account(store: Store) -> Account:
    """The live generation's account now."""
    totals = dict.fromkeys((field.name for field in fields(Account)), 0)
    for status in await store.positions():
        for name in totals:
            totals[name] += getattr(status, name)
    return Account(**totals)


async def wait_until_folded(
    store: Store,
    read: int,
    seconds_max: float,
    progress: Callable[[Account], Any] = lambda _account: None,
) -> Account:
    """Wait until `read` events were judged and all accepted ones folded.

    Raises `DeadlineExceeded` when that takes longer than `seconds_max` without any movement.
    """
    last, moved_at = Account(), time.monotonic()
    while True:
        now = await account(store)
        progress(now)
        if now.read >= read and now.folded >= now.accepted:
            return now
        if now != last:
            last, moved_at = now, time.monotonic()
        elif time.monotonic() - moved_at > seconds_max:
            raise DeadlineExceeded(
                f"{INTERACTIONS.name}: {read - now.read} events unread and"
                f" {now.accepted - now.folded} unfolded, and nothing moves."
            )
        await asyncio.sleep(POLL_SECONDS)


async def wait_until_told(store: Store, seconds_max: float) -> None:
    """Wait until the outbox is published: dead letters and updates are on their topics.

    Raises `DeadlineExceeded` when that takes longer than `seconds_max`.
    """
    deadline = time.monotonic() + seconds_max
    while waiting := [one for one in await store.untold() if one.waiting]:
        if time.monotonic() > deadline:
            told = ", ".join(f"{one.topic} {one.waiting}" for one in waiting)
            raise DeadlineExceeded(f"Records of the outbox that no relay publishes: {told}.")
        await asyncio.sleep(POLL_SECONDS)
