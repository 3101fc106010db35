"""Sets of places in a topic, one bit each: 100 million events are 12.5 MB. Pure."""

from collections.abc import Iterator
from typing import Final

_PAGE_BITS: Final = 16
_PAGE: Final = 1 << _PAGE_BITS
"""Offsets per page of 8 KB; a page is made when something of it is added."""

Pages = dict[tuple[int, int], bytearray]


class Places:
    """A set of (partition, offset)."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: Pages = {}

    def add(self, partition: int, offset: int) -> bool:
        """Put one in; False when it was there already."""
        key = (partition, offset >> _PAGE_BITS)
        page = self._pages.get(key)
        if page is None:
            page = self._pages[key] = bytearray(_PAGE // 8)
        bit = offset & (_PAGE - 1)
        mask = 1 << (bit & 7)
        if page[bit >> 3] & mask:
            return False
        page[bit >> 3] |= mask
        return True

    def __contains__(self, place: tuple[int, int]) -> bool:
        partition, offset = place
        page = self._pages.get((partition, offset >> _PAGE_BITS))
        bit = offset & (_PAGE - 1)
        return page is not None and bool(page[bit >> 3] & (1 << (bit & 7)))

    def update(self, other: "Places") -> None:
        """Put everything of another set in, too."""
        for key, theirs in other._pages.items():
            ours = self._pages.get(key)
            self._pages[key] = (
                bytearray(theirs) if ours is None else _bytes(_int(ours) | _int(theirs))
            )

    def common(self, other: "Places") -> int:
        """How many are in both."""
        return sum(
            (_int(ours) & _int(other._pages[key])).bit_count()
            for key, ours in self._pages.items()
            if key in other._pages
        )

    def below(self, partition: int, until: int) -> int:
        """How many of a partition are below an offset."""
        count = 0
        for (each, number), page in self._pages.items():
            start = number << _PAGE_BITS
            if each != partition or start >= until:
                continue
            bits = _int(page)
            if until - start < _PAGE:
                bits &= (1 << (until - start)) - 1
            count += bits.bit_count()
        return count

    def __len__(self) -> int:
        return sum(_int(page).bit_count() for page in self._pages.values())

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """All, by partition and offset."""
        for (partition, number), page in sorted(self._pages.items()):
            bits, start = _int(page), number << _PAGE_BITS
            while bits:
                lowest = bits & -bits
                yield partition, start + lowest.bit_length() - 1
                bits ^= lowest


def _int(page: bytearray) -> int:
    # Little-endian: bit 0 of byte 0 is the page's first offset.
    return int.from_bytes(page, "little")


def _bytes(bits: int) -> bytearray:
    return bytearray(bits.to_bytes(_PAGE // 8, "little"))
