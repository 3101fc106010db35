"""Places: how many requests are served at once, and that nobody takes the places of all others.

Of all places a creator's requests take a quarter at the most. A read that waits for its
`minPosition` costs next to nothing while it waits, but waits for seconds: it is counted apart,
with as many places again, so that those who wait keep nobody from being served.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from starlette.types import Scope

from schemas.errors import Overloaded

SHARES: Final = 4
"""A creator's share is one of so many."""
PUBLIC: Final = ""
"""Who asks without a token, as platforms do: all of them are one."""


class Room:
    """Places of one kind."""

    def __init__(self, places: int, what: str = "requests", state: str = "in flight") -> None:
        """`what` takes a place, for as long as it is in that `state`."""
        self._places = places
        self._what = what
        self._state = state
        self._share = max(places // SHARES, 1)
        self._taken = 0
        self._by: dict[str, int] = {}

    @property
    def full(self) -> bool:
        return self._taken >= self._places

    def enter(self, who: str) -> None:
        """Raises `Overloaded` when there is no place, or none for them."""
        theirs = self._by.get(who, 0)
        if theirs >= self._share:
            raise Overloaded(
                f"Too many {self._what} of this creator are {self._state}.",
                hint="Ask again after the seconds in Retry-After, with fewer at once.",
            )
        if self.full:
            raise Overloaded(f"Too many {self._what} are {self._state}.")
        self.put(who)

    def put(self, who: str) -> None:
        """Somebody who is not to be refused any more."""
        self._taken += 1
        self._by[who] = self._by.get(who, 0) + 1

    def leave(self, who: str) -> None:
        self._taken -= 1
        theirs = self._by[who] - 1
        if theirs:
            self._by[who] = theirs
        else:
            del self._by[who]


class Places:
    """Of one API process."""

    def __init__(self, places: int) -> None:
        self.served = Room(places)
        self.waiting = Room(places)


@contextmanager
def waiting(scope: Scope) -> Iterator[None]:
    """Inside, this request waits: its place is another's. Raises `Overloaded` before."""
    places: Places = scope["places"]
    who: str = scope["place"]
    places.waiting.enter(who)
    places.served.leave(who)
    try:
        yield
    finally:
        places.waiting.leave(who)
        places.served.put(who)
