"""Tokens that one call of a language model used. Costs are counted from it, and errors carry it."""

from typing import Final

import msgspec


class Usage(msgspec.Struct, frozen=True, gc=False):
    """As the provider counted; `cached` is part of `input`, `reasoning` is part of `output`."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0
    estimated: bool = False
    """Counted by us from the characters, because the reply did not say."""

    @property
    def total(self) -> int:
        return self.input + self.output


NO_USAGE: Final = Usage()
CHARACTERS_PER_TOKEN: Final = 4


def estimate(asked: int, answered: int = 0) -> Usage:
    """⌈characters / 4⌉ for each direction."""
    return Usage(input=_tokens(asked), output=_tokens(answered), estimated=True)


def _tokens(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)
