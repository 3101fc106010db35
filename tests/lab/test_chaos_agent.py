"""The proofs of the LLM agent, short, and that they would notice what they look for."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from infra.failpoints import AGENT, CAMPAIGN
from lab.chaos.agent.checks import (
    check_budgets,
    check_calls,
    check_intents,
    check_results,
    check_sends,
    check_usage,
)
from lab.chaos.agent.plan import SHORT, SOME, STEPS, order, shares, whole
from lab.chaos.agent.run import prove
from ops.services import Endpoints
from tests import services as helpers

SEED = 7


@pytest.mark.usefixtures("forked_programs")
async def test_a_short_run_keeps_every_promise_of_the_agent(
    services: Endpoints, template_database: str, tmp_path: Path
) -> None:
    told: list[str] = []
    async with helpers.fresh_database(services, template_database) as url:
        settings = await helpers.fresh_settings(services, url, tmp_path, kafka=True)
        verdict = await prove(settings, tmp_path, seed=SEED, amounts=SHORT, on_step=told.append)
    assert [check for check in verdict.checks if not check.passed] == [], "\n".join(told)
    assert verdict.passed


def test_every_step_of_an_intent_and_of_a_campaign_has_its_turn() -> None:
    amounts = whole(10_000)
    assert sorted(order(SEED, amounts)) == sorted((*AGENT, *CAMPAIGN)) == sorted(STEPS)
    assert [n for share in shares(amounts) for n in share] == [*range(10_000)]
    assert order(SEED, amounts) == order(SEED, amounts)
    assert set(SOME) < set(STEPS)


def row(name: str = "a", state: str = "sent", parts: int = 1) -> dict[str, Any]:
    return {"name": name, "state": state, "parts_sent": parts, "child": False}


def call(name: str = "a", number: int = 1, state: str = "settled", **more: Any) -> dict[str, Any]:
    cost = {"cost": Decimal("0.0001"), "reserved": Decimal("0.001"), "tokens": 7}
    who = {"creator_id": "c", "user_id": "u"}
    return {"name": name, "call": number, "state": state, **cost, **who} | more


def usage(name: str = "a", number: int = 1, cost: str = "0.0001") -> tuple[Any, bytes]:
    return (name, str(number)), json.dumps({"cost": cost, "tokens": 7}).encode()


ONE = replace(SHORT, steps=("send.after_call", "llm.after_call"))
BOTH = [row(), row("b", "unknown", 0)]


def test_an_intent_that_is_missing_or_stands_still_is_noticed() -> None:
    assert check_intents(BOTH, 2).passed
    assert not check_intents(BOTH, 3).passed
    assert not check_intents([row(), row("b", "sending", 0)], 2).passed


@pytest.mark.parametrize(
    ("keys", "rows", "passed"),
    [
        ({"a-0": 1, "b-0": 1}, BOTH, [True, True, True]),
        ({"a-0": 1}, BOTH, [True, True, True]),  # lost before the call
        ({"a-0": 2, "b-0": 1}, BOTH, [False, True, True]),
        ({"b-0": 1}, BOTH, [True, False, True]),  # it says sent, and nobody got it
        ({"a-0": 1, "c-0": 1}, BOTH, [True, False, True]),  # somebody got it, and nobody knows
        ({"a-0": 1}, [row(), row("b", "failed", 0)], [True, True, False]),
        ({"a-0": 1, "b-0": 1}, [row(), row("b", "failed", 0)], [True, False, False]),
    ],
)
def test_a_message_that_was_sent_twice_or_is_unaccounted_for_is_noticed(
    keys: Mapping[str, int], rows: Any, passed: list[bool]
) -> None:
    assert [one.passed for one in check_sends(rows, Counter(keys), ONE)] == passed


def test_a_call_of_which_nothing_is_known_is_noticed() -> None:
    lost = call("b", state="unknown")
    assert check_calls([call(), lost], ONE)[0].passed
    assert not check_calls([call()], ONE)[0].passed
    assert not check_calls([call(), lost, call("c", state="reserved")], ONE)[0].passed
    assert not check_calls([call(), call("b", state="unknown", cost=None)], ONE)[0].passed


def test_a_result_that_is_missing_or_differs_from_its_copy_is_noticed() -> None:
    assert check_results(BOTH, {("a",): {b"1"}}).passed
    assert not check_results(BOTH, {}).passed
    assert not check_results(BOTH, {("a",): {b"1", b"2"}}).passed
    assert not check_results(BOTH, {("a",): {b"1"}, ("b",): {b"1"}}).passed


@pytest.mark.parametrize("told", [usage(cost="0.00010001"), usage(number=2), usage("b")])
def test_a_cost_that_is_off_by_a_digit_is_noticed(told: tuple[Any, bytes]) -> None:
    assert check_usage([call()], {usage()[0]: {usage()[1]}}).passed
    key, value = told
    assert not check_usage([call()], {key: {value}}).passed
    assert not check_usage([call(), call(number=2)], {usage()[0]: {usage()[1]}}).passed


def test_a_budget_that_is_spent_by_more_than_its_calls_is_noticed() -> None:
    def budgets(money: str) -> list[dict[str, Any]]:
        spent = {"period": "month", "money": Decimal(money), "tokens": 7}
        return [{"scope": "creator", "id": "c"} | spent, {"scope": "user", "id": "u"} | spent]

    assert check_budgets([call()], budgets("0.0001")).passed
    assert not check_budgets([call()], budgets("0.001")).passed
    assert not check_budgets([call()], []).passed
