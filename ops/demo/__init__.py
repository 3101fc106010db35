"""The demo: a whole system, a sample of conversations through it, and what came of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from admin import dead_letters
from admin.accounting import Account, account, wait_until_folded, wait_until_told
from admin.emit import Emitted, emit, shifted, to_now_ms
from admin.reading import read_values
from api.tokens import issue_token
from infra.clock import now_ms
from ops.demo.reply import Replied, reply
from ops.system import System
from schemas.context import EngagementScore, MemoryContext
from schemas.dead_letters import DeadLetter
from schemas.errors import FanNotFound
from stores.opened import open_stores
from views.context import render_context, render_score

SAMPLE: Final = Path(__file__).parent / "sample.jsonl"
CREATOR: Final = "luna"
FAN: Final = "maya"
STANDSTILL_SECONDS_MAX: Final = 30.0
TOKEN_SECONDS: Final = 12 * 3600


@dataclass(frozen=True, slots=True)
class Shown:
    """What the demo has to show."""

    emitted: Emitted
    account: Account
    """Of this run's events alone."""
    seconds: float
    """From the first event sent to the last one in the views."""
    lag: int
    """Accepted events not yet in the views, afterwards."""
    dead_letters: list[DeadLetter]
    context: MemoryContext
    score: EngagementScore
    replied: Replied
    token: str


async def run_sample(system: System, progress: Callable[[int], Any]) -> Shown:
    """Send the sample, shifted so that it ends now, and wait until all of it is in the views.

    A second run on the same data directory sends the same events again: those with an eventId
    are duplicates then, those without one are new.
    """
    settings = system.settings
    async with open_stores(settings) as stores:
        store = stores.store
        before = await account(store)
        ends = await dead_letters.ends(settings)
        started = time.perf_counter()
        lines = list(read_values(SAMPLE))
        emitted = await emit(settings, shifted(lines, to_now_ms(lines)))
        after = await wait_until_folded(
            store,
            settings,
            before.read + emitted.sent,
            STANDSTILL_SECONDS_MAX,
            lambda now: progress(
                now.folded + now.dead_letters - before.folded - before.dead_letters
            ),
        )
        seconds = time.perf_counter() - started
        await wait_until_told(store, STANDSTILL_SECONDS_MAX)
        remembered = await store.read(CREATOR, FAN)
        if remembered is None:
            raise FanNotFound
        dead = await dead_letters.read_from(settings, ends)
        now = now_ms()
        context = render_context(
            CREATOR, FAN, remembered.state, remembered.entries, now, settings.currency
        )
        replied = await reply(settings, CREATOR, FAN)
        if replied.sent:  # it comes back as events of the creator's
            more = len(replied.messages)
            await wait_until_folded(store, settings, after.read + more, STANDSTILL_SECONDS_MAX)
        return Shown(
            emitted,
            after.since(before),
            seconds,
            after.accepted - after.folded,
            dead,
            context,
            render_score(CREATOR, FAN, remembered.state, now),
            replied,
            issue_token(settings, CREATOR, "demo", TOKEN_SECONDS),
        )
