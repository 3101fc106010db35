"""What a call costs, in dollars, exactly.

Tokens are priced apart: input, cached input, output (reasoning is billed as output), by the model
that the *reply* names. Prices are those of `genai-prices`, which carries its data and asks nobody;
its version is the price version of every record. For Azure a table of ours says which model a
deployment runs, and the factor or the rates that are paid for it (`llm.deployments`).

A model without a price is refused at start, unless the flat fallback is chosen by name: $0.01
(Azure) and $0.002 (OpenAI) per 1,000 tokens of both directions, as the reference has them. They are
wrong by two in either direction for the models that they were meant for.

`unknown` marks an amount that is not what was billed but what may have been, at the most: of calls
that were cut, and of a reply by a model that has no price.
"""

from decimal import Decimal
from functools import lru_cache
from typing import Final, NamedTuple

import genai_prices

from infra.settings import Settings
from llm.deployments import Deployment, deployments
from llm.prompts import Prompt
from llm.providers import Completion, ProviderName
from schemas.errors import CircuitOpen, Misconfigured, ProviderFailed
from schemas.usage import Usage

LISTED: Final = f"genai-prices {genai_prices.__version__}"
FLAT: Final = "flat 1"
FREE: Final = "free"
FLAT_PER_THOUSAND: Final[dict[str, Decimal]] = {
    "azure": Decimal("0.01"),
    "openai": Decimal("0.002"),
}
MILLION: Final = Decimal(1_000_000)
FRAME_TOKENS: Final = 64
"""What a chat's form takes beside its texts: a few tokens a message."""


class Cost(NamedTuple):
    """Of one call."""

    amount: Decimal
    currency: str
    price_version: str
    unknown: bool = False


NOTHING: Final = Cost(Decimal(0), "USD", FREE)
"""Of the template, of a cached answer, and of what was never asked."""


class Prices:
    """Raises `Misconfigured` at start for a configured model without a price."""

    def __init__(self, settings: Settings) -> None:
        self._flat = settings.unpriced_models == "flat"
        self._asked: dict[str, str] = {"openai": settings.openai_model}
        self._deployment = Deployment(settings.openai_model)
        if settings.azure_api_key.get_secret_value():
            self._deployment = deployments(settings)[settings.azure_deployment]
            self._asked["azure"] = self._deployment.model
            self._refuse_unpriced("azure")
        if settings.openai_api_key.get_secret_value():
            self._refuse_unpriced("openai")

    def cost(self, model: str, usage: Usage, *, provider: ProviderName) -> Cost:
        """Of a reply by `model`, as the reply names it."""
        if provider == "template":
            return NOTHING
        found = self._listed(model, usage, provider)
        if found is not None:
            return found
        # It answered as a model that nobody has priced: as the one that was asked for.
        instead = self._listed(self._asked[provider], usage, provider)
        return (instead or self._flatly(usage, provider))._replace(unknown=True)

    def of_completion(self, completion: Completion, provider: ProviderName) -> Cost:
        return self.cost(completion.model, completion.usage, provider=provider)

    def of_failure(self, failure: ProviderFailed, prompt: Prompt, provider: ProviderName) -> Cost:
        """What a failed attempt costs.

        Nothing if it was answered with an error or never sent; what its usage says if it has one;
        else it was cut, and may have been billed in full.
        """
        if failure.usage is not None:
            return self.cost(self._asked.get(provider, ""), failure.usage, provider=provider)
        if failure.http_status is not None or not failure.sent or isinstance(failure, CircuitOpen):
            return NOTHING
        return self.upper_bound(prompt, provider=provider)

    def upper_bound(self, prompt: Prompt, *, provider: ProviderName) -> Cost:
        """What an attempt may cost at the most: what is reserved before it."""
        if provider == "template":
            return NOTHING
        usage = most(prompt)
        return self.cost(self._asked[provider], usage, provider=provider)._replace(unknown=True)

    def _refuse_unpriced(self, provider: ProviderName) -> None:
        if self._flat or self._listed(self._asked[provider], most_of(1, 1), provider):
            return
        setting = "OPENAI_MODEL" if provider == "openai" else "AZURE_DEPLOYMENTS"
        raise Misconfigured(
            f"FANMEMORY_{setting} names a model that has no known price.",
            hint="Name another, say its rates, or set FANMEMORY_UNPRICED_MODELS=flat.",
        )

    def _listed(self, model: str, usage: Usage, provider: ProviderName) -> Cost | None:
        if provider == "azure" and self._deployment.rates is not None:
            rates = self._deployment.rates
            fresh = usage.input - usage.cached
            amount = fresh * rates.input + usage.cached * rates.cached + usage.output * rates.output
            return Cost(amount / MILLION, "USD", "settings")
        amount_listed = listed(model, usage.input, usage.cached, usage.output, provider)
        if amount_listed is None:
            return self._flatly(usage, provider) if self._flat else None
        factor = self._deployment.factor if provider == "azure" else Decimal(1)
        version = LISTED if factor == 1 else f"{LISTED} *{factor}"
        return Cost(amount_listed * factor, "USD", version)

    def _flatly(self, usage: Usage, provider: ProviderName) -> Cost:
        return Cost(FLAT_PER_THOUSAND[provider] * usage.total / 1_000, "USD", FLAT)


def listed(model: str, asked: int, cached: int, given: int, provider: str) -> Decimal | None:
    """The list price; None if there is none."""
    if not _has_price(model, provider):
        return None
    usage = genai_prices.Usage(input_tokens=asked, cache_read_tokens=cached, output_tokens=given)
    found = genai_prices.calc_price(usage, model, provider_id=provider)
    return Decimal(found.total_price)


def most(prompt: Prompt) -> Usage:
    """Tokens that an attempt can take at the most: a token is at least a byte of the text."""
    asked = len((prompt.system + prompt.user).encode()) + prompt.schema_bytes + FRAME_TOKENS
    return most_of(asked, prompt.max_tokens)


def most_of(asked: int, given: int) -> Usage:
    return Usage(input=asked, output=given, estimated=True)


@lru_cache(256)
def _has_price(model: str, provider: str) -> bool:
    usage = genai_prices.Usage(input_tokens=1, output_tokens=1)
    try:
        return genai_prices.calc_price(usage, model, provider_id=provider).total_price > 0
    except LookupError:
        return False
