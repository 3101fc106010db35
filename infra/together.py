"""What several ask for at once is done at once, in rounds.

A round takes all that has been asked for by then. The first one begins at once; each later one when
the one before is over, and not sooner than `pause` seconds after that began: so whoever is alone
waits for nobody, and many cost little more than a few.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_FORMER: Final = float("-inf")


class Together(Generic[Asked, Answer]):
    """Belongs to one event loop."""

    def __init__(
        self,
        do: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]],
        most: int,
        pause: float = 0.0,
    ) -> None:
        """`do` answers each of at most `most` in order; what it raises, all of its round get."""
        self._do = do
        self._most = most
        self._pause = pause
        self._began = _FORMER
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._doing: asyncio.Task[None] | None = None

    async def ask(self, one: Asked) -> Answer:
        """Its answer. Whoever is cancelled before its round began, has asked for nothing."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((one, answer))
        if self._doing is None or self._doing.done():
            self._doing = asyncio.create_task(self._rounds())
        return await answer

    async def close(self) -> None:
        """End; who still waits is cancelled."""
        if self._doing is not None:
            self._doing.cancel()
            await asyncio.gather(self._doing, return_exceptions=True)
        for _, answer in self._waiting:
            answer.cancel()
        self._waiting.clear()

    async def _rounds(self) -> None:
        clock = asyncio.get_running_loop().time
        while self._waiting:
            await asyncio.sleep(max(0.0, self._began + self._pause - clock()))
            self._began = clock()
            wanted = [(one, answer) for one, answer in self._waiting if not answer.done()]
            now, self._waiting = wanted[: self._most], wanted[self._most :]
            if now:
                await self._round(now)

    async def _round(self, now: Sequence[tuple[Asked, asyncio.Future[Answer]]]) -> None:
        try:
            answers = await self._do([one for one, _ in now])
        except asyncio.CancelledError:
            for _, answer in now:
                answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001 # theirs, who asked: no round ends the next
            for _, answer in now:
                if not answer.done():
                    answer.set_exception(error)
        else:
            for (_, answer), found in zip(now, answers, strict=True):
                if not answer.done():
                    answer.set_result(found)
