"""A worker's command line on which a text ends the process at once, as a crash in C would."""

import os

from ops.cli import main
from schemas.events import Interaction, parse_interaction
from streams import sifting

POISON = "poison for who takes it in"


def _parse_or_die(value: bytes, record_time: int, currency: str) -> Interaction:
    if POISON.encode() in value:
        os._exit(99)
    return parse_interaction(value, record_time, currency)


if __name__ == "__main__":
    setattr(sifting, "parse_interaction", _parse_or_die)  # noqa: B010 # not its to export
    main()
