"""Who is asked first, and when a circuit keeps a provider from being asked at all."""

from collections.abc import Awaitable, Callable

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from llm.prices import Prices
from llm.prompts import Prompt
from llm.providers import Completion, Provider, ProviderName
from llm.routing import Route, Routing
from schemas.errors import AzureExecutionError, CircuitOpen, FailureCode, OpenAIExecutionError
from schemas.usage import NO_USAGE
from tests.clock import Clock

GOOD = Completion("{}", "gpt-4o-mini", NO_USAGE, "stop", None)


class Silent:
    """A provider that nobody asks over a network."""

    seconds_max = 1.0

    def __init__(self, name: ProviderName, model: str) -> None:
        self.name = name
        self.model = model
        self.closed = False

    async def complete(
        self, prompt: Prompt, *, deadline_seconds: float | None = None
    ) -> Completion:
        return GOOD

    async def close(self) -> None:
        self.closed = True


def routing(clock: Clock, openai: str = "gpt-4o", azure: str = "gpt-4o-mini") -> Routing:
    settings = Settings(
        openai_api_key=SecretStr("k"),
        openai_model=openai,
        azure_api_key=SecretStr("k"),
        azure_endpoint="https://x.example",
        azure_deployment="d",
        azure_deployments=f"d={azure}",
    )
    providers: dict[ProviderName, Provider] = {
        "openai": Silent("openai", openai),
        "azure": Silent("azure", azure),
    }
    return Routing(providers, Prices(settings), settings, clock)


def failing(code: FailureCode, *, again: bool) -> Callable[[], Awaitable[Completion]]:
    async def fail() -> Completion:
        raise OpenAIExecutionError(code, provider="openai", retryable=again)

    return fail


async def good() -> Completion:
    return GOOD


async def broken(routes: Routing, times: int) -> None:
    for _ in range(times):
        with pytest.raises(OpenAIExecutionError):
            await routes.call("openai", failing("unknown", again=True))


def test_the_cheaper_one_for_the_type_comes_first() -> None:
    assert routing(Clock()).route("message_generation") == Route(("azure", "openai"))
    other = routing(Clock(), openai="gpt-4o-mini", azure="gpt-4o")
    assert other.route("content_planning") == Route(("openai", "azure"))


def test_a_forced_provider_is_the_only_one() -> None:
    routes = routing(Clock())
    assert routes.route("message_generation", forced="openai") == Route(("openai",))
    assert routes.route("message_generation", forced="openai", tried=("openai",)) == Route(())


def test_a_provider_that_cools_down_is_passed_over_and_waited_for_if_it_is_the_only_one() -> None:
    routes = routing(Clock())
    assert routes.route("message_generation", cooling={"azure": 30.0}) == Route(("openai",))
    assert routes.route("message_generation", cooling={"azure": 30.0, "openai": 12.0}) == Route(
        (), 12.0
    )
    assert routes.route("message_generation", forced="azure", cooling={"azure": 30.0}) == Route(
        (), 30.0
    )


def test_a_parked_provider_is_no_provider() -> None:
    routes = routing(Clock())
    assert routes.route("message_generation", parked=("azure",)) == Route(("openai",))
    assert routes.route("message_generation", parked=("azure", "openai")) == Route(())


async def test_five_failures_in_thirty_seconds_open_the_circuit_for_sixty_and_one_probes() -> None:
    clock = Clock()
    routes = routing(clock)
    await broken(routes, 5)
    assert routes.breakers()["openai"].state == "OPEN"
    assert routes.wait_seconds("openai") == 60.0
    assert routes.route("message_generation", forced="openai") == Route((), 60.0)
    assert routes.route("message_generation", tried=("azure",)) == Route((), 60.0)
    with pytest.raises(CircuitOpen):
        await routes.call("openai", good)
    clock.now += 60.0
    assert routes.route("message_generation", forced="openai") == Route(("openai",))

    async def probed() -> Completion:
        assert routes.wait_seconds("openai") == 1.0
        with pytest.raises(CircuitOpen):
            await routes.call("openai", good)
        return GOOD

    assert await routes.call("openai", probed) is GOOD
    assert routes.breakers()["openai"].state == "CLOSED"
    assert routes.wait_seconds("openai") == 0.0


async def test_failures_further_apart_open_nothing() -> None:
    clock = Clock()
    routes = routing(clock)
    for _ in range(9):
        await broken(routes, 1)
        clock.now += 8.0
    assert routes.breakers()["openai"].state == "CLOSED"


async def test_a_failed_probe_opens_it_for_another_minute() -> None:
    clock = Clock()
    routes = routing(clock)
    await broken(routes, 5)
    clock.now += 61.0
    await broken(routes, 1)
    assert routes.wait_seconds("openai") == 60.0


@pytest.mark.parametrize("code", ["content_filter", "validation", "auth", "rate_limit"])
async def test_filter_request_key_and_429_are_no_failures_of_the_circuit(code: FailureCode) -> None:
    routes = routing(Clock())
    for _ in range(20):
        with pytest.raises(OpenAIExecutionError):
            await routes.call("openai", failing(code, again=code == "rate_limit"))
    assert routes.breakers()["openai"].state == "CLOSED"
    assert routes.breakers()["openai"].failures == 0


async def test_any_other_error_is_one_and_each_provider_has_its_own_circuit() -> None:
    routes = routing(Clock())

    async def bug() -> Completion:
        raise RuntimeError

    for _ in range(5):
        with pytest.raises(RuntimeError):
            await routes.call("openai", bug)
    assert routes.breakers()["openai"].state == "OPEN"
    assert routes.breakers()["azure"].state == "CLOSED"
    assert await routes.call("azure", good) is GOOD
    assert AzureExecutionError is not OpenAIExecutionError


async def test_closing_closes_the_providers() -> None:
    routes = routing(Clock())
    await routes.close()
    assert all(provider.closed for provider in routes.providers.values())  # type: ignore[attr-defined]
