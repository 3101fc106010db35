"""What calls cost: to the last digit, by the reply's model, and refused at start where unknown."""

from decimal import Decimal

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from llm.deployments import deployments
from llm.prices import FLAT, LISTED, NOTHING, Prices, listed, most
from llm.prompts import compose
from llm.providers import Completion
from schemas.errors import AzureExecutionError, CircuitOpen, Misconfigured, OpenAIExecutionError
from schemas.usage import Usage, estimate
from tests.llm.material import material

OPENAI = Settings(openai_api_key=SecretStr("k"))
USED = Usage(input=1_000, cached=400, output=200, reasoning=50)
PROMPT = compose(material(("fan", "hello")))


def azure(deployments: str, **more: str) -> Settings:
    return Settings(
        azure_api_key=SecretStr("k"),
        azure_endpoint="https://x.example",
        azure_deployment="drafts",
        azure_deployments=deployments,
        **more,  # type: ignore[arg-type]
    )


def test_cost_tracking() -> None:
    """Cached tokens at their own price; reasoning is part of the output; no float anywhere."""
    cost = Prices(OPENAI).cost("gpt-4o-mini-2024-07-18", USED, provider="openai")
    by_hand = (600 * Decimal("0.15") + 400 * Decimal("0.075") + 200 * Decimal("0.60")) / Decimal(
        1_000_000
    )
    assert cost == (by_hand, "USD", LISTED, False)
    assert LISTED == "genai-prices 0.2.3"


def test_the_model_that_answered_counts_not_the_one_that_was_asked() -> None:
    asked = Prices(OPENAI).cost("gpt-4o-mini", USED, provider="openai")
    other = Completion("{}", "gpt-4o-2024-08-06", USED, "stop", None)
    cost = Prices(OPENAI).of_completion(other, "openai")
    assert cost.amount > 10 * asked.amount
    assert not cost.unknown


def test_an_answer_by_a_model_without_a_price_is_counted_as_the_one_asked_for_and_marked() -> None:
    prices = Prices(OPENAI)
    cost = prices.cost("made-up-9", USED, provider="openai")
    assert cost.unknown
    assert cost.amount == prices.cost("gpt-4o-mini", USED, provider="openai").amount


def test_a_model_without_a_price_is_refused_at_start() -> None:
    with pytest.raises(Misconfigured, match="FANMEMORY_OPENAI_MODEL"):
        Prices(Settings(openai_api_key=SecretStr("k"), openai_model="made-up-9"))
    with pytest.raises(Misconfigured, match="FANMEMORY_AZURE_DEPLOYMENTS"):
        Prices(azure("drafts=made-up-9"))
    Prices(Settings(openai_model="made-up-9"))  # nobody is asked


def test_the_flat_fallback_is_the_references_and_has_to_be_chosen_by_name() -> None:
    openai = Settings(
        openai_api_key=SecretStr("k"), openai_model="made-up-9", unpriced_models="flat"
    )
    thousand = Usage(input=500, output=500)
    cost = Prices(openai).cost("made-up-9", thousand, provider="openai")
    assert cost == (Decimal("0.002"), "USD", FLAT, False)
    on_azure = Prices(azure("drafts=made-up-9", unpriced_models="flat"))
    assert on_azure.cost("made-up-9", thousand, provider="azure").amount == Decimal("0.01")
    known = Prices(openai).cost("gpt-4o-mini", thousand, provider="openai")
    assert known.price_version == LISTED


def test_a_deployment_says_its_model_and_what_is_paid_for_it() -> None:
    plain = Prices(azure("drafts=gpt-4o-mini")).cost("gpt-4o-mini", USED, provider="azure")
    zone = Prices(azure("drafts=gpt-4o-mini*1.1")).cost("gpt-4o-mini", USED, provider="azure")
    assert zone.amount == plain.amount * Decimal("1.1")
    assert (plain.price_version, zone.price_version) == (LISTED, f"{LISTED} *1.1")
    own = Prices(azure("drafts=made-up-9:1/0.5/2")).cost("whatever", USED, provider="azure")
    assert own == ((600 * 1 + 400 * Decimal("0.5") + 200 * 2) / Decimal(1_000_000),
                   "USD", "settings", False)  # fmt: skip


@pytest.mark.parametrize(
    "list_", ["drafts", "drafts=gpt-4o*x", "drafts=a b", "=gpt-4o", "other=gpt-4o"]
)
def test_a_table_that_cannot_be_read_or_lacks_the_deployment_is_refused(list_: str) -> None:
    with pytest.raises(Misconfigured):
        Prices(azure(list_))


def test_a_table_may_have_several_lines() -> None:
    found = deployments(azure(" drafts=gpt-4o-mini , spare=gpt-4o*1.1,"))
    assert {name: one.model for name, one in found.items()} == {
        "drafts": "gpt-4o-mini",
        "spare": "gpt-4o",
    }


def test_a_call_that_was_cut_costs_what_it_may_have_cost_at_the_most() -> None:
    prices = Prices(OPENAI)
    cut = OpenAIExecutionError("timeout", provider="openai", retryable=True)
    cost = prices.of_failure(cut, PROMPT, "openai")
    assert cost == prices.upper_bound(PROMPT, provider="openai")
    assert cost.unknown
    bound = most(PROMPT)
    assert bound.output == PROMPT.max_tokens
    assert bound.input > estimate(PROMPT.characters).input
    assert cost.amount == listed("gpt-4o-mini", bound.input, 0, bound.output, "openai")


def test_nothing_is_paid_for_what_was_refused_or_never_sent() -> None:
    prices = Prices(OPENAI)
    for status in (400, 401, 403, 404, 422, 429, 500, 503):
        refused = OpenAIExecutionError("unknown", provider="openai", http_status=status)
        assert prices.of_failure(refused, PROMPT, "openai") == NOTHING
    unsent = OpenAIExecutionError("network", provider="openai", sent=False)
    assert prices.of_failure(unsent, PROMPT, "openai") == NOTHING
    unasked = CircuitOpen("network", provider="openai")
    assert prices.of_failure(unasked, PROMPT, "openai") == NOTHING


def test_a_filtered_answer_costs_what_its_usage_says() -> None:
    prices = Prices(azure("drafts=gpt-4o-mini"))
    filtered = AzureExecutionError("content_filter", provider="azure", usage=USED)
    assert prices.of_failure(filtered, PROMPT, "azure") == prices.cost(
        "gpt-4o-mini", USED, provider="azure"
    )


def test_a_template_costs_nothing() -> None:
    prices = Prices(Settings())
    assert prices.cost("template-1", USED, provider="template") == NOTHING
    assert prices.upper_bound(PROMPT, provider="template") == NOTHING


def test_a_thousand_small_costs_add_up_exactly() -> None:
    one = Prices(OPENAI).cost("gpt-4o-mini", Usage(input=1, output=1), provider="openai").amount
    assert sum([one] * 1_000, Decimal(0)) == 1_000 * one == Decimal("0.00075")


def test_estimates_round_up() -> None:
    assert estimate(1, 5) == Usage(input=1, output=2, estimated=True)
    assert estimate(0).total == 0
