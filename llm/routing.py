"""Which provider is asked first, and the circuit around each.

A forced provider is the only one. Of the others those that are neither parked (a bad key), nor
cooling down (429, for all processes), nor behind an open circuit come first; of these the cheaper
for the type's usual size. A circuit opens after 5 failed attempts in 30 s, for 60 s; then one
attempt is the probe. No failure of the provider's: a filter, an answer that something is wrong with
the request or the key, and 429, for which the cooldown is there.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from decimal import Decimal
from typing import Final, NamedTuple, TypeVar

import pybreaker

from infra.breaker import Breaker, BreakerStats
from infra.settings import Settings
from llm.prices import Prices
from llm.providers import Provider, ProviderName
from schemas.errors import CircuitOpen, ProviderFailed
from schemas.intents import INTENT_TYPES, IntentType
from schemas.usage import Usage

T = TypeVar("T")
USUAL: Final[Mapping[IntentType, Usage]] = {
    "content_planning": Usage(input=1_500, output=900),
    "message_generation": Usage(input=2_000, output=150),
    "content_validation": Usage(input=2_000, output=150),
    "campaign_execution": Usage(input=700, output=300),
}
"""What a call of the type takes, about; only the order of prices depends on it."""


class Route(NamedTuple):
    """Whom to ask: in this order, or nobody before `wait_seconds` have passed."""

    providers: tuple[ProviderName, ...]
    wait_seconds: float = 0.0


class Routing:
    """The providers with their circuits. Belongs to one event loop."""

    def __init__(
        self,
        providers: Mapping[ProviderName, Provider],
        prices: Prices,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.providers = providers
        self._cheapest = {kind: _by_price(kind, providers, prices) for kind in INTENT_TYPES}
        self._breakers = {
            name: Breaker(
                f"provider-{name}",
                failures_max=settings.provider_failures_max,
                window_seconds=settings.provider_window_seconds,
                reset_seconds=settings.provider_reset_seconds,
                clock=clock,
                counts=counts,
            )
            for name in providers
        }

    def route(
        self,
        kind: IntentType,
        *,
        forced: str | None = None,
        cooling: Mapping[str, float] | None = None,
        parked: Collection[str] = (),
        tried: Collection[str] = (),
    ) -> Route:
        """Whom to ask for an intent of this type.

        `cooling` has the seconds that a provider still cools down; `tried` are those that have used
        up their attempts. Without any provider left the route is empty, and its wait 0.
        """
        waits: dict[ProviderName, float] = {}
        for name in self._cheapest[kind]:
            if name in parked or name in tried or forced not in (None, name):
                continue
            cools = (cooling or {}).get(name, 0.0)
            waits[name] = max(cools, self._breakers[name].seconds_until_probe)
        ready = tuple(name for name, wait in waits.items() if wait <= 0)
        if ready or not waits:
            return Route(ready)
        return Route((), min(waits.values()))

    async def call(self, name: ProviderName, operation: Callable[[], Awaitable[T]]) -> T:
        """One attempt within the circuit; raises `CircuitOpen` without asking while it is open."""
        try:
            return await self._breakers[name].call(operation)
        except pybreaker.CircuitBreakerError:
            raise CircuitOpen("network", provider=name, retryable=True, sent=False) from None

    def wait_seconds(self, name: ProviderName) -> float:
        """How long its circuit stays open."""
        return self._breakers[name].seconds_until_probe

    def breakers(self) -> dict[str, BreakerStats]:
        return {name: breaker.stats() for name, breaker in self._breakers.items()}

    async def close(self) -> None:
        for provider in self.providers.values():
            await provider.close()


def _by_price(
    kind: IntentType, providers: Mapping[ProviderName, Provider], prices: Prices
) -> list[ProviderName]:
    """The cheaper first."""

    def price(name: ProviderName) -> tuple[Decimal, str]:
        return prices.cost(providers[name].model, USUAL[kind], provider=name).amount, name

    return sorted(providers, key=price)


def counts(error: Exception) -> bool:
    """Is it the provider's failure?"""
    if isinstance(error, ProviderFailed):
        return error.can_retry and error.code != "rate_limit"
    return True
