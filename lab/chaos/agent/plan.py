"""The plan of a run: how many intents, and where who is killed. Pure."""

import random
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from infra.failpoints import AGENT, CAMPAIGN

STEPS: Final = (*AGENT, *CAMPAIGN)
"""Every step of an intent that has a name."""


SOME: Final = (
    "llm.after_call",
    "send.after_call",
    "campaign.before_children",
)
"""Of the short form. In the tests every step kills, one by one, without a process of its own."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is done."""

    intents: int
    """One reply for each of as many fans."""
    steps: tuple[str, ...]
    members: int
    """Of each campaign; there is one for each of a campaign's steps."""
    kills: int
    """kill -9 at any moment, beside those at the steps."""
    ages: bool
    """Leases of a process that was killed run out at once, instead of in a minute."""
    step_seconds_max: float
    """Until a step was passed and has killed."""
    drain_seconds_max: float


SHORT: Final = Amounts(
    intents=20,
    steps=SOME,
    members=2,
    kills=1,
    ages=True,
    step_seconds_max=60.0,
    drain_seconds_max=60.0,
)


def whole(intents: int) -> Amounts:
    """The long form."""
    return Amounts(
        intents=intents,
        steps=STEPS,
        members=20,
        kills=30,
        ages=False,
        # A campaign waits behind the replies that came before it: thousands, on a busy machine.
        step_seconds_max=1_800.0,
        drain_seconds_max=1_800.0,
    )


def order(seed: int, amounts: Amounts) -> list[str]:
    """The steps in the order in which they kill."""
    steps = [*amounts.steps]
    random.Random(seed).shuffle(steps)
    return steps


def shares(amounts: Amounts) -> list[range]:
    """Which intents are published before each step."""
    count = len(amounts.steps)
    ends = [amounts.intents * n // count for n in range(count + 1)]
    return [range(a, b) for a, b in pairwise(ends)]
