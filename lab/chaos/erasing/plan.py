"""The plan of an erasing run: which faults, in an order drawn from the seed. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from infra.failpoints import ERASING

INGEST_POINTS: Final = tuple(point for point in ERASING if point.startswith("ingest."))
"""Passed by workers."""
API_POINTS: Final = tuple(point for point in ERASING if point.startswith("erase."))
"""Passed by whoever was asked to erase."""


@dataclass(frozen=True, slots=True)
class Amounts:
    """How many rounds there are, and how often each fault is injected at least."""

    rounds: int
    bystanders: int
    """Fans whom nobody erases; events of theirs flow all the while."""
    events_per_second: float
    """Of bystanders."""
    crashes: int
    """At each fail point."""
    kills: Mapping[str, int]
    """Of processes of ours, by their name."""
    services: Mapping[str, int]
    """Kills of each, by its name."""
    session_seconds: float
    """A killed worker's partitions stand still as long."""


def whole(rounds: int) -> Amounts:
    """The long form: a fault every sixth round or so."""
    each = max(1, rounds // 50)
    return Amounts(
        rounds=rounds,
        bystanders=200,
        events_per_second=100.0,
        crashes=each,
        kills={"api": each, "worker": each},
        services={"kafka": max(1, each // 2), "postgres": max(1, each // 2), "valkey": each},
        session_seconds=4.0,
    )


SHORT: Final = Amounts(
    rounds=12,
    bystanders=40,
    events_per_second=60.0,
    crashes=1,
    kills={"api": 0, "worker": 0},
    services={},
    session_seconds=2.0,
)
"""Each fail point once: arming one kills its process, unless that has just crashed."""


@dataclass(frozen=True, slots=True)
class Step:
    """A fault: a crash at a fail point, or a kill of a process of ours or of a service."""

    target: str
    point: str = ""


def make_plan(seed: int, amounts: Amounts) -> tuple[list[Step], list[Step]]:
    """Two lanes that run side by side: faults of the API, and of all others."""
    rng = random.Random(seed)
    api = [Step("api", point) for point in API_POINTS] * amounts.crashes
    api += [Step("api")] * amounts.kills["api"]
    others = [Step("worker", point) for point in INGEST_POINTS] * amounts.crashes
    others += [Step("worker")] * amounts.kills["worker"]
    others += [Step(name) for name, count in amounts.services.items() for _ in range(count)]
    rng.shuffle(api)
    rng.shuffle(others)
    return api, others
