"""Sweep: erase the fans, and forget the events, of which a creator wants nothing kept any more.

Each is erased or forgotten as if somebody had asked for it, so all that is said of that holds,
receipts included. Ended at any time, it is begun again; the workers finish what was begun.

A fan whose events are forgotten is moved by ingest, whose partition stands still meanwhile. So only
few are under way at once, and events pass between them.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from infra.clock import now_ms
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from privacy.receipts import Signer
from schemas.errors import FanMemoryError
from schemas.receipts import SignedReceipt
from schemas.relationship import Relationship
from schemas.times import DAY_MS
from stores import receipts, retention
from stores.erasing import Eraser
from stores.forgetting import Forgetter
from stores.opened import Stores, open_stores

BATCH: Final = 100
DAY_SECONDS: Final = 86_400.0
LOOK_SECONDS: Final = 0.1
MOVING: Final = 4
"""Fans whose events are forgotten at once."""
MOVE_SECONDS_MAX: Final = 30.0
"""For one of them: if it takes longer, the workers are away or far behind, and the next sweep goes
on."""
_FIRST: Final = ""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Swept:
    """What one sweep did."""

    rules: int = 0
    fans: int = 0
    """Erased; or that would be, if nothing was to be changed."""
    shortened: int = 0
    """Fans whose old events were forgotten; or would be."""
    begun: list[bytes] = field(default_factory=list)
    """Ids of the erasures and forgettings."""
    behind: bool = False
    """The workers did not come to forget in time: the next sweep goes on."""
    busy: bool = False
    """Another sweep is under way: this one did nothing."""


async def sweep(
    settings: Settings,
    *,
    dry_run: bool = False,
    now: int | None = None,
    progress: Callable[[int], None] = lambda _fans: None,
) -> Swept:
    """Erase and forget what the rules name; `dry_run` only counts. Raises `DatabaseUnavailable`."""
    done = Swept()
    async with (
        database_errors(),
        connecting(settings.postgres_url) as connection,
        open_stores(settings, connections_max=4) as stores,
    ):
        if not await retention.lock(connection):
            done.busy = True
            return done
        one = _Sweep(settings, stores, done, dry_run, progress)
        try:
            for rule in await retention.rules(stores.pool):
                done.rules += 1
                at = now_ms() if now is None else now
                if rule.silent_days is not None:
                    await one.erase(rule.creator_id, at - rule.silent_days * DAY_MS)
                if rule.history_days is not None and not done.behind:
                    await one.forget(rule.creator_id, at - rule.history_days * DAY_MS)
        finally:
            await one.close()
    if done.begun:
        log.info("fans were erased by retention", extra={"count": done.fans})
        log.info("events were forgotten by retention", extra={"count": done.shortened})
    if done.behind:
        log.warning("the sweep goes on another time: the workers are away or behind")
    return done


class _Sweep:
    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        done: Swept,
        dry_run: bool,
        progress: Callable[[int], None],
    ) -> None:
        given = settings, stores.pool, stores.cache, stores.keyring
        self._eraser, self._forgetter = Eraser(*given), Forgetter(*given)
        self._pool = stores.pool
        self._done = done
        self._dry_run = dry_run
        self._progress = progress

    async def close(self) -> None:
        await self._eraser.close()
        await self._forgetter.close()

    async def erase(self, creator_id: str, since: int) -> None:
        after = _FIRST
        while fans := await retention.silent(self._pool, creator_id, since, after, BATCH):
            for fan_id in fans:
                if not self._dry_run:
                    status = await self._eraser.erase((creator_id, fan_id), 0.0)
                    self._done.begun.append(status.erasure)
                self._done.fans += 1
                self._progress(1)
            await self._eraser.deleted()
            after = fans[-1]

    async def forget(self, creator_id: str, before: int) -> None:
        after = _FIRST
        while fans := await retention.older(self._pool, creator_id, before, after, BATCH):
            for start in range(0, len(fans), MOVING):
                some = fans[start : start + MOVING]
                if not self._dry_run:
                    await self._shorten([(creator_id, fan_id) for fan_id in some], before)
                self._done.shortened += len(some)
                self._progress(len(some))
                if self._done.behind:
                    return
            after = fans[-1]

    async def _shorten(self, fans: Sequence[Relationship], before: int) -> None:
        asked = [self._forgetter.forget(who, (), MOVE_SECONDS_MAX, before=before) for who in fans]
        for status in await asyncio.gather(*asked):
            self._done.begun.append(status.erasure)
            self._done.behind |= status.completed_at is None


async def proofs(
    settings: Settings, begun: list[bytes], seconds: float
) -> tuple[list[SignedReceipt], int]:
    """The receipts of those that are completed within so many seconds, and how many are not."""
    signer = Signer.of(settings)
    found: list[SignedReceipt] = []
    until = asyncio.get_running_loop().time() + seconds
    async with open_stores(settings) as stores:
        for id in begun:
            while True:
                made = await receipts.made_of(
                    stores.pool, stores.cache, id, now_ms(), signer.key_id
                )
                if made is not None:
                    found.append(signer.sign(made.receipt))
                    break
                if asyncio.get_running_loop().time() >= until:
                    break
                await asyncio.sleep(LOOK_SECONDS)
    return found, len(begun) - len(found)


async def daily(settings: Settings) -> NoReturn:
    """Sweep now, and once a day, until cancelled."""
    while True:
        try:
            await sweep(settings)
        except FanMemoryError as error:
            log.warning("the sweep of today failed: %s", type(error).__name__)
        except Exception:  # whatever it is, it must not end the system that runs beside it
            log.exception("the sweep of today failed")
        await asyncio.sleep(DAY_SECONDS)
