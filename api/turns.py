"""When work on a long body lets other requests have the event loop."""

from typing import Final

VALUES: Final = 64
"""10 us each, if they are as events are."""
SIZE: Final = 32 << 10
"""Bytes: a value of 256 KB that is made to be slow takes up to 37 ms."""


class Turns:
    """Counts what was read since the loop was given away. Of one request."""

    def __init__(self) -> None:
        self._values = self._size = 0

    def over(self, value: bytes) -> bool:
        """Whether the loop should be given away behind this value."""
        self._values += 1
        self._size += len(value)
        if self._values < VALUES and self._size < SIZE:
            return False
        self._values = self._size = 0
        return True
