"""The names of all metrics that our processes have, asked of them without any service."""

from typing import Any, cast

from api.lag import PipelineState
from api.metrics import ApiMetrics
from infra.metrics import render
from infra.settings import Settings
from llm.metrics import AgentMetrics
from privacy.keys import Keyring
from stores.reader import FanMemory
from streams.metrics import worker_registry
from streams.watchdog import Watchdog
from tests.numbers import Numbers

NOTHING = cast("Any", None)


def names() -> dict[str, set[str]]:
    """Of each kind of process."""
    keyring = Keyring.parse("test:" + "A" * 43 + "=")
    api = ApiMetrics()
    memory = FanMemory(NOTHING, NOTHING, keyring, Settings())
    api.watch(memory, [], lambda: PipelineState((), database=False, cache=False, broker=False))
    agent = AgentMetrics(("openai",))
    agent.exposition(Settings(), NOTHING, NOTHING, dict, "")
    registries = {
        "api": api.registry,
        "worker": worker_registry([], Watchdog([], 1.0)),
        "agent": agent.registry,
    }
    return {name: Numbers(render(one).decode()).names for name, one in registries.items()}
