"""What a run of the suite ends with, and the system that every run has of its own."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from infra.settings import Settings
from lab.chaos.checks import Check
from lab.chaos.fleet import Death

_SERVICES = ("kafka_url", "postgres_url", "postgres_owner_url", "postgres_reader_url", "redis_url")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was done, what was seen, and whether all of it was as it must be."""

    seed: int
    seconds: float
    faults: Counter[str]
    """What was done, and how often."""
    deaths: list[Death]
    """Processes that ended without having been told to."""
    checks: list[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def embedded(**changes: Any) -> Settings:
    """Settings of a system on services of its own, whatever the environment names."""
    return Settings().model_copy(update=dict.fromkeys(_SERVICES, "") | changes)
