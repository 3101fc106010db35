"""What ingest will refuse of the events of a file, and how it is told."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import partial
from typing import NamedTuple

from admin.reading import VALUE_BYTES_MAX
from infra.clock import now_ms
from schemas.errors import InvalidInput
from schemas.events import parse_interaction


class Refusal(NamedTuple):
    """A field of an event, and what is wrong with it."""

    field: str
    reason: str


class Judge:
    """Counts what ingest will refuse of the lines that pass by: the same check, the same words."""

    def __init__(self, currency: str) -> None:
        self._currency = currency
        self.refused: Counter[Refusal] = Counter()

    def watch(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        """The lines as they are. What no broker takes is counted by `emit`."""
        for line in lines:
            if len(line) <= VALUE_BYTES_MAX:
                try:
                    parse_interaction(line, now_ms(), self._currency)
                except InvalidInput as error:
                    self.refused[reason_of(error)] += 1
            yield line


def reason_of(error: InvalidInput) -> Refusal:
    """The reason without the place in the text: equal mistakes are counted together."""
    return Refusal(error.field, _without_place(error.reason))


_without_place = partial(re.compile(r" \(byte \d+\)").sub, "")
