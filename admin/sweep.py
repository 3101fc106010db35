"""Sweep: erase the fans of whom a creator wants nothing kept any more.

Each is erased as if somebody had asked for it, so all that is said of erasures holds, receipts
included. Ended at any time, it is begun again; the workers finish what was begun.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn

from infra.clock import now_ms
from infra.postgres import connecting, database_errors
from infra.settings import Settings
from privacy.receipts import Signer
from schemas.errors import FanMemoryError
from schemas.receipts import SignedReceipt
from schemas.times import DAY_MS
from stores import receipts, retention
from stores.erasing import Eraser
from stores.opened import Stores, open_stores

BATCH: Final = 100
DAY_SECONDS: Final = 86_400.0
LOOK_SECONDS: Final = 0.1
_FIRST: Final = ""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Swept:
    """What one sweep did."""

    rules: int = 0
    fans: int = 0
    """Erased; or that would be, if nothing was to be changed."""
    erasures: list[bytes] = field(default_factory=list)
    busy: bool = False
    """Another sweep is under way: this one did nothing."""


async def sweep(
    settings: Settings,
    *,
    dry_run: bool = False,
    now: int | None = None,
    progress: Callable[[int], None] = lambda _fans: None,
) -> Swept:
    """Erase whom the rules name; `dry_run` only counts them. Raises `DatabaseUnavailable`."""
    done = Swept()
    async with (
        database_errors(),
        connecting(settings.postgres_url) as connection,
        open_stores(settings, connections_max=4) as stores,
    ):
        if not await retention.lock(connection):
            done.busy = True
            return done
        eraser = Eraser(settings, stores.pool, stores.cache, stores.keyring)
        try:
            for rule in await retention.rules(stores.pool):
                done.rules += 1
                since = (now_ms() if now is None else now) - rule.silent_days * DAY_MS
                await _sweep_one(stores, eraser, rule, since, done, dry_run, progress)
        finally:
            await eraser.close()
    if done.erasures:
        log.info("fans were erased by retention", extra={"count": done.fans})
    return done


async def _sweep_one(
    stores: Stores,
    eraser: Eraser,
    rule: retention.Rule,
    since: int,
    done: Swept,
    dry_run: bool,
    progress: Callable[[int], None],
) -> None:
    after = _FIRST
    while fans := await retention.silent(stores.pool, rule.creator_id, since, after, BATCH):
        for fan_id in fans:
            if not dry_run:
                status = await eraser.erase((rule.creator_id, fan_id), 0.0)
                done.erasures.append(status.erasure)
            done.fans += 1
            progress(1)
        after = fans[-1]


async def proofs(
    settings: Settings, erasures: list[bytes], seconds: float
) -> tuple[list[SignedReceipt], int]:
    """The receipts of those that are completed within so many seconds, and how many are not."""
    signer = Signer.of(settings)
    found: list[SignedReceipt] = []
    until = asyncio.get_running_loop().time() + seconds
    async with open_stores(settings) as stores:
        for id in erasures:
            while True:
                made = await receipts.made_of(stores.pool, id, now_ms(), signer.key_id)
                if made is not None:
                    found.append(signer.sign(made.receipt))
                    break
                if asyncio.get_running_loop().time() >= until:
                    break
                await asyncio.sleep(LOOK_SECONDS)
    return found, len(erasures) - len(found)


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
