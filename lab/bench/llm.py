"""What our side of a model's call costs: prompt, request, answer, checks.

`fanmemory bench llm` asks a stand-in for OpenAI in a process of its own, which answers at once. So
what a call takes is what we add to the model's own time. The fan is a typical one: 50 messages of
both sides. Two parts: one call after another, for latency; and several at once, for what one
process can do. CPU is this process's own, by step in the first part.
"""

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final, TypeVar

import msgspec
from pydantic import SecretStr

from analysis import analyse
from infra.settings import Settings
from lab.model_server import KEY, apart
from llm.checks import check
from llm.material import Material
from llm.outcomes import Answered, outcome
from llm.prices import Prices
from llm.prompts import compose
from llm.providers import Provider, ProviderName, open_providers
from llm.routing import Routing
from schemas.context import ConversationMessage, MemoryContext
from schemas.errors import ServiceFailed
from views.context import minimal_context

T = TypeVar("T")
WARM_CALLS: Final = 20
CREATOR, FAN = "creator-1", "fan-1"
_SAID: Final = (
    "I had such a good day, went to the beach with my dog and listened to your playlist",
    "That sounds lovely! Which song did you like most?",
    "The slow one at the end. When do you post the next video?",
    "Soon, I am still cutting it. Do you like travel stories?",
)


async def measure(calls: int, at_once: int) -> dict[str, Any]:
    """Figures of `calls` calls in each part, in ms and per second."""
    with apart() as origin:
        settings = Settings(openai_api_key=SecretStr(KEY), openai_base_url=f"{origin}/v1")
        prices = Prices(settings)
        routing = Routing(open_providers(settings), prices, settings)
        try:
            return await _measure(routing, prices, calls, at_once)
        finally:
            await routing.close()


async def _measure(routing: Routing, prices: Prices, calls: int, at_once: int) -> dict[str, Any]:
    one = _Calls(routing, prices)
    for _ in range(WARM_CALLS):
        await one.call()
    one.steps.clear()
    began_cpu = time.process_time()
    took = [await _timed(one) for _ in range(calls)]
    cpu = time.process_time() - began_cpu
    steps = {name: round(seconds / calls * 1e3, 3) for name, seconds in one.steps.items()}
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            await one.call()

    began, began_cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(caller() for _ in range(at_once)))
    seconds, cpu_busy = time.perf_counter() - began, time.process_time() - began_cpu
    took.sort()
    return {
        "calls": calls,
        "promptCharacters": one.characters,
        "overhead": {
            "p50Ms": round(took[len(took) // 2] * 1e3, 2),
            "p99Ms": round(took[int(len(took) * 0.99)] * 1e3, 2),
            "maxMs": round(took[-1] * 1e3, 2),
            "cpuMs": round(cpu / calls * 1e3, 2),
            "cpuMsOf": steps,
        },
        "atOnce": {
            "callers": at_once,
            "perSecond": round(calls / seconds, 1),
            "cpuMs": round(cpu_busy / calls * 1e3, 2),
        },
        "costUsd": str(one.cost),
    }


async def _timed(one: "_Calls") -> float:
    began = time.perf_counter()
    await one.call()
    return time.perf_counter() - began


class _Calls:
    """One call after the other as a workflow makes them, with the CPU of each step."""

    def __init__(self, routing: Routing, prices: Prices) -> None:
        self.steps: dict[str, float] = {}
        self.cost = Decimal(0)
        self.characters = 0
        self._routing = routing
        self._prices = prices
        self._context = typical_fan()

    async def call(self) -> None:
        material = Material(
            "message_generation", CREATOR, fan_id=FAN, context=self._context, sent=_SAID[1::2]
        )
        prompt = self._step("prompt", lambda: compose(material))
        self.characters = prompt.characters
        name = self._step("route", lambda: self._route(material))
        provider: Provider = self._routing.providers[name]
        began = time.process_time()
        done = await self._routing.call(name, lambda: provider.complete(prompt))
        self._add("request", time.process_time() - began)
        found = self._step("answer", lambda: outcome(material.type, done))
        if not isinstance(found, Answered):
            raise ServiceFailed("The stand-in's answer does not fit.")
        self._step("checks", lambda: check(found.result, material, prompt))
        self.cost += self._step("price", lambda: self._prices.of_completion(done, name)).amount

    def _route(self, material: Material) -> ProviderName:
        return self._routing.route(material.type).providers[0]

    def _step(self, name: str, step: Callable[[], T]) -> T:
        began = time.process_time()
        found = step()
        self._add(name, time.process_time() - began)
        return found

    def _add(self, name: str, seconds: float) -> None:
        self.steps[name] = self.steps.get(name, 0.0) + seconds


def typical_fan() -> MemoryContext:
    """Of 50 messages."""
    read = analyse(_SAID)
    messages = tuple(
        ConversationMessage(
            id=f"m-{number}",
            fan_id=FAN,
            creator_id=CREATOR,
            content=_SAID[number % 4],
            sender="creator" if number % 2 else "fan",
            sentiment=read[number % 4].sentiment,
            topics=read[number % 4].topics,
            timestamp=f"2026-11-28T10:{number:02d}:00.000Z",
            metadata={"language": read[number % 4].language},
        )
        for number in range(50)
    )
    empty = minimal_context(CREATOR, FAN, 1_764_300_000_000)
    return msgspec.structs.replace(empty, recent_messages=messages, degraded=msgspec.UNSET)
