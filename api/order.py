"""Whose request begins next: the creators take turns.

A creator whose users ask for everything at the same moment puts hundreds of requests into one turn
of the event loop, at 0.2 ms each: whoever asks then waits for all of them. Here a few begin in
each turn, of each creator in turn; between two turns the loop looks at what has come meanwhile. So
a request waits for a few of others, however many of one creator there are. Nobody is refused here,
and nothing is held back while there is nothing to wait for.
"""

import asyncio
from collections import deque
from typing import Final

TOGETHER: Final = 4
"""Requests that begin in one turn of the loop: less than 1 ms."""


class Order:
    """Of one event loop."""

    def __init__(self, together: int = TOGETHER) -> None:
        self._together = together
        self._begun = 0
        """In this turn."""
        self._turning = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Who is next stands first."""

    def at_once(self) -> bool:
        """Whether a request may begin now: mostly. It counts as begun then."""
        if self._waiting or self._begun >= self._together:
            return False
        self._begun += 1
        self._keep_turning()
        return True

    async def turn(self, who: str) -> None:
        """Wait until a request of theirs is to begin."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(turn)
        self._keep_turning()
        await turn  # who is cancelled is passed by

    def _keep_turning(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._next_turn)

    def _next_turn(self) -> None:
        self._turning = False
        self._begun = 0
        while self._waiting and self._begun < self._together:
            who = next(iter(self._waiting))
            theirs = self._waiting.pop(who)
            turn = theirs.popleft()
            if theirs:
                self._waiting[who] = theirs
            if not turn.done():
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            self._keep_turning()
