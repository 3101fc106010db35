"""A fault: one thing done to the services while events flow, seen to have happened, and undone.

To add one: write a subclass with `inject`, `seen` and `heal`, name it in `lab/chaos/registry.py`,
and say in `lab/chaos/plan.py` how often it is wanted. The plan gives it its turn; a run in which it
was not seen as often as wanted fails.
"""

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

from infra.settings import Settings
from lab.chaos.emitter import Emitter
from lab.chaos.fleet import Fleet
from lab.chaos.plan import Amounts
from lab.chaos.progress import Progress, behind, wait_for
from lab.chaos.reader import Reader
from ops.services import EmbeddedServices
from schemas.relationship import Relationship
from schemas.topics import INTERACTIONS, JOURNAL
from stores.store import Store

MOVED_SECONDS_MAX: Final = 60.0
"""How long events may take to be folded while a fault is on."""
HEALED_SECONDS_MAX: Final = 120.0
FLOW: Final = 20
"""Events a second while something is healed."""


@dataclass(frozen=True)
class Stage:
    """What a fault may lay hands on."""

    settings: Settings
    amounts: Amounts
    services: EmbeddedServices
    store: Store
    fleet: Fleet
    emitter: Emitter
    reader: Reader
    progress: Progress
    rng: random.Random
    tell: Callable[[str], Any]
    excused: "Excused" = field(default_factory=lambda: Excused())

    async def folded_more(self, count: int, seconds_max: float = MOVED_SECONDS_MAX) -> bool:
        """Publish so many events at once and wait until as many more are in the views."""
        before = self.progress.folded
        self.emitter.burst(count)
        wanted = min(count, self.emitter.left) // 2  # bad ones and repeats are among them
        return await wait_for(lambda: self.progress.folded >= before + wanted, seconds_max)

    async def all_back(self, reached: Mapping[int, int]) -> bool:
        """Wait until what was sent so far is taken in, and projection is where it had been.

        False when what lacks has not moved for `HEALED_SECONDS_MAX`: a busy machine is slow, and
        that is no loss.
        """
        wanted = {INTERACTIONS.name: self.emitter.ends(), JOURNAL.name: reached}
        lacking: dict[str, dict[int, int]] = {}
        stood_still = 0
        while stood_still < HEALED_SECONDS_MAX:
            self.emitter.burst(FLOW)
            await asyncio.sleep(1.0)
            before = lacking
            lacking = {name: behind(self.progress.of(name), ends) for name, ends in wanted.items()}
            if not any(lacking.values()):
                return True
            stood_still = stood_still + 1 if lacking == before else 0
        return False


@dataclass
class Excused:
    """What can't be healed, and therefore must be missing, exactly; the checks hold it so."""

    untold: dict[Relationship, int] = field(default_factory=dict)
    """Fans, with their version then, whose updates were deleted with their topic."""
    went_back: bool = False
    """A log or the database went backwards: then it can't be known which of several counters a
    record that came again was in, and versions of what was lost have been told."""


class Fault:
    """Base of all. `seconds` is how long the plan wants it to last, where that is a choice."""

    name: ClassVar[str]
    """As the plan and the verdict name it."""
    reserve: ClassVar[int] = 0
    """Events that it needs: so many are kept for it, however late its turn comes."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def inject(self, stage: Stage) -> None:
        """Do it; returns when it is done. `heal` follows, whatever happens here."""
        raise NotImplementedError

    async def seen(self, stage: Stage) -> bool:
        """Whether it really happened, by what the system itself shows; called before `heal`."""
        raise NotImplementedError

    async def heal(self, stage: Stage) -> None:
        """Undo what does not heal by itself."""


async def carry_out(fault: Fault, stage: Stage) -> bool:
    """Inject, look, heal; whether it was seen."""
    began = time.monotonic()
    stage.tell(f"{fault.name}: begins")
    seen = False
    try:
        await fault.inject(stage)
        seen = await fault.seen(stage)
    except TimeoutError:
        pass  # it could not be injected: not seen
    finally:
        await asyncio.shield(fault.heal(stage))
    what = "was seen" if seen else "WAS NOT SEEN"
    stage.tell(f"{fault.name}: {what}, healed after {time.monotonic() - began:.1f} s")
    return seen
