"""Many things in parts that are small enough."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def bounded(sized: Iterable[tuple[T, int]], most: int) -> Iterator[list[T]]:
    """These in their order, cut where their sizes would be more together; one may be by itself."""
    part: list[T] = []
    size = 0
    for one, its in sized:
        if part and size + its > most:
            yield part
            part, size = [], 0
        part.append(one)
        size += its
    if part:
        yield part
