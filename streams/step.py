"""What is done with a unit of work: the contract between the batch loop and its steps."""

from collections.abc import Container, Sequence
from typing import Protocol

from infra.postgres import UNAVAILABLE, Pool, database_errors
from schemas.errors import BrokerUnavailable, DatabaseUnavailable
from stores.attempts import Attempts
from stores.positions import Batch, Positions
from streams.counts import Counts

NOT_NOW = (*UNAVAILABLE, DatabaseUnavailable, BrokerUnavailable)
"""What a step raises while something is down: the same work can succeed later."""


class Step(Protocol):
    """Ingest, projection, or the intake of intents."""

    positions: Positions
    counts: Counts

    async def claim(self, partitions: Sequence[int]) -> None:
        """Take the assigned partitions over in Postgres."""

    async def apply(self, batches: Sequence[Batch]) -> None:
        """Do the whole unit, or raise and have done nothing that a second try repeats."""

    async def reload(self, partitions: Sequence[int]) -> bool:
        """Read the positions again; False when another worker has claimed one of them."""

    @property
    def in_doubt(self) -> bool:
        """Whether something else than our own logs gives reason to check them."""

    async def as_known(self) -> bool:
        """Whether Postgres has our positions as we know them."""

    @property
    def stopped(self) -> Container[int]:
        """Partitions that wait for their operator: nothing of theirs is to be done."""

    async def check(self, partitions: Sequence[int]) -> None:
        """Compare the logs of these with what their positions remember, and mend or stop them."""

    async def doubtful(self) -> set[int]:
        """Partitions of ours that are to be checked, as far as that is seen beside the work."""


class Positioned:
    """What every step does in the same way: base of each."""

    def __init__(self, pool: Pool, topic: str) -> None:
        self.positions = Positions(topic)
        self.counts = Counts()
        self._pool = pool
        self._attempts = Attempts(pool, self.positions)

    async def leave(self) -> None:
        """This process was asked to end."""
        await self._attempts.withdraw()

    async def as_known(self) -> bool:
        """See `Step`."""
        async with database_errors(), self._pool.acquire() as connection:
            return await self.positions.as_known(connection)
