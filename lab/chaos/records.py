"""Faults that a single record is: what a producer may send although it is of no use."""

from typing import Final

from lab.chaos.fault import Fault, Stage
from lab.chaos.progress import wait_for
from schemas.topics import DEAD_LETTERS

BYTES: Final = 3_000_000
"""Far above what an event or a dead letter may be; compressed, a few KB that the broker takes."""
SETTLED_SECONDS_MAX: Final = 60.0


class Bloated(Fault):
    """3 MB of repeated text, sent with gzip: ingest must refuse it and continue with the rest."""

    name = "3 MB record, compressed"
    _refused = False

    async def inject(self, stage: Stage) -> None:
        before = stage.progress.dead_letters
        await stage.emitter.slip(b'{"content": "' + b"again and again " * (BYTES // 16) + b'"}')
        self._refused = await wait_for(
            lambda: stage.progress.dead_letters > before, SETTLED_SECONDS_MAX
        )
        self._refused &= await stage.folded_more(50)

    async def seen(self, stage: Stage) -> bool:
        stage.tell(f"{self.name}: {DEAD_LETTERS.name} has it")
        return self._refused
