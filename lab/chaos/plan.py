"""The plan: what will be done to the system, in an order drawn from the seed. Pure.

Two lanes run side by side, so that faults of workers and of services overlap: the seed gives the
order within each, the clock of the run how they interleave.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from infra.failpoints import POINTS

JOURNAL_LOST: Final = ("journal cut", "journal recreated", "journal regrown")
INTAKE_LOST: Final = ("interactions cut", "interactions recreated", "interactions regrown")
"""What the journal has lost is written again from `interactions`, and never the other way round: an
event that both have lost is gone. So all that takes from the journal has its turn first."""
WorkerFault = Literal["kill", "crash", "pause"]


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is emitted, and how often each fault is injected at least.

    A run with fewer faults fails.
    """

    events: int
    worker_kills: int
    crash_points: tuple[str, ...]
    pauses: int
    fences: int
    """Of sleepers, seen in their logs: whether a sleeper was in the midst of a batch is luck."""
    services: Mapping[str, int]
    """How often each fault of `lab/chaos/registry.py` is injected, by its name."""
    evictions: int
    """Keys that the cache must have thrown away before `cache evicting` counts."""
    joins: int
    leaves: int


FULL: Final = Amounts(
    events=100_000,
    worker_kills=30,
    crash_points=POINTS,
    pauses=3,
    fences=1,
    services={
        "kafka killed": 5,
        "postgres killed": 5,
        "valkey killed": 5,
        "cache flushed": 3,
        "cache evicting": 2,
        "cache full with noeviction": 2,
        "cache restored older, connections alive": 3,
        "3 MB record, compressed": 2,
        "memory-updates deleted": 2,
        "worker without the fans' key": 1,
        "journal cut": 1,
        "journal recreated": 1,
        "journal regrown": 1,
        "interactions cut": 1,
        "interactions recreated": 1,
        "interactions regrown": 1,
        "postgres restored 1 s back": 1,
        "postgres disk full": 1,
        "kafka disk full": 1,
    },
    evictions=1_000,
    joins=10,
    leaves=10,
)
SHORT: Final = Amounts(
    events=12_000,
    worker_kills=2,
    crash_points=("projection.after_commit",),
    pauses=1,
    fences=0,
    services={
        "kafka killed": 1,
        "postgres killed": 1,
        "valkey killed": 1,
        "cache flushed": 1,
        "cache evicting": 1,
        "cache full with noeviction": 1,
        "cache restored older, connections alive": 1,
        "3 MB record, compressed": 1,
        "memory-updates deleted": 1,
        "worker without the fans' key": 1,
        "interactions cut": 1,
        "postgres restored 1 s back": 1,
    },
    evictions=100,
    joins=1,
    leaves=1,
)


@dataclass(frozen=True, slots=True)
class WorkerStep:
    """Something done to workers. `settle`: wait first until every partition moves again."""

    fault: WorkerFault
    settle: bool
    point: str = ""
    workers: int = 1


@dataclass(frozen=True, slots=True)
class ServiceStep:
    """Something done to a service, `at` this share of the worker lane."""

    fault: str
    at: float
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Both lanes, in order."""

    workers: tuple[WorkerStep, ...]
    services: tuple[ServiceStep, ...]


def make_plan(seed: int, amounts: Amounts) -> Plan:
    """Arming a crash point kills the worker first, which counts as one of the kills."""
    rng = random.Random(seed)
    workers = [WorkerStep("crash", settle=True, point=point) for point in amounts.crash_points]
    workers += [WorkerStep("pause", settle=True) for _ in range(amounts.pauses)]
    kills = amounts.worker_kills - len(amounts.crash_points)
    while kills > 0:
        # At every third, two at once; and at every third, before the last ones have recovered.
        count = min(kills, rng.choice((1, 1, 2)))
        workers.append(WorkerStep("kill", settle=rng.random() < 0.67, workers=count))
        kills -= count
    rng.shuffle(workers)
    faults = [fault for fault, count in amounts.services.items() for _ in range(count)]
    rng.shuffle(faults)
    _put_in_order(faults)
    services = [
        ServiceStep(fault, (number + rng.random()) / len(faults), rng.uniform(0.0, 3.0))
        for number, fault in enumerate(faults)
    ]
    return Plan(tuple(workers), tuple(services))


def _put_in_order(faults: list[str]) -> None:
    """Of the places that both kinds have, the journal's faults take the first ones."""
    places = [at for at, fault in enumerate(faults) if fault in (*JOURNAL_LOST, *INTAKE_LOST)]
    ordered = sorted((faults[at] for at in places), key=lambda fault: fault in INTAKE_LOST)
    for at, fault in zip(places, ordered, strict=True):
        faults[at] = fault
