"""What the agent does with campaigns, beside Postgres: `test_end_to_end` has the whole of one."""

import logging
from typing import Any

import pytest

from infra.settings import Settings
from llm.campaigns import STEPS_MAX, TOO_MANY, Campaigner, chosen
from schemas.campaigns import CampaignOrder
from schemas.errors import DatabaseUnavailable, FansUnindexed, Fenced
from schemas.segments import Segment
from stores.workflows.campaigning import Unopened


class Steps:
    """Stands for the database: one campaign that is due again and again, and what was said."""

    def __init__(self, state: str, error: Exception | None = None) -> None:
        self.campaign: Any = type("Claimed", (), {"state": state, "estimate": None})()
        self.campaign.campaign, self.campaign.creator_id = b"c" * 16, "creator"
        self.error = error
        self.said: list[str] = []

    async def claim(self) -> Any:
        return self.campaign if len(self.said) < STEPS_MAX + 5 else None

    async def order(self, claimed: Any) -> CampaignOrder:
        if self.error is not None:
            raise self.error
        return CampaignOrder(Segment(), "Hello.")

    def __getattr__(self, name: str) -> Any:
        async def say(*arguments: Any) -> None:
            self.said.append(name if len(arguments) < 2 else f"{name} {arguments[1]}")

        return say


class Everybody:
    """A segment of three."""

    async def members(self, *_: Any) -> Any:
        summary = type("Summary", (), {"fan_id": "f"})
        yield [summary, summary, summary]


def campaigner(steps: Any, **settings: Any) -> Campaigner:
    made = Settings().model_copy(update=settings)
    return Campaigner(made, steps, Everybody())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "error", "said"),
    [
        ("starting", None, "start ['f', 'f', 'f']"),
        ("previewing", None, "preview 3"),
        ("running", None, "go_on"),
        ("stopping", None, "stop"),
        ("paused", None, "expire"),
        ("ready", None, "expire"),
        ("starting", FansUnindexed(), "put_off"),
        ("starting", Unopened(), "failed_once seal_broken"),
        ("starting", RuntimeError(), "failed_once None"),
    ],
)
async def test_each_state_has_a_step_and_each_failure_a_consequence(
    state: str, error: Exception | None, said: str
) -> None:
    steps = Steps(state, error)
    await campaigner(steps).work()
    assert steps.said == [said] * STEPS_MAX


async def test_too_many_members_end_it_before_it_begins() -> None:
    steps = Steps("starting")
    await campaigner(steps, campaign_members_max=2).work()
    assert set(steps.said) == {f"failed_once {TOO_MANY}"}


async def test_a_campaign_that_was_taken_away_is_left_alone_and_an_outage_is_told() -> None:
    await campaigner(Steps("starting", Fenced())).work()
    steps = Steps("starting", DatabaseUnavailable())
    with pytest.raises(DatabaseUnavailable):
        await campaigner(steps).work()
    assert steps.said == []


async def test_what_went_wrong_is_logged_without_whom_it_was_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        await campaigner(Steps("starting", RuntimeError())).work()
    assert {one.message for one in caplog.records} == {"a campaign's step failed"}


def test_those_of_a_preview_follow_from_the_campaign_and_not_from_their_order() -> None:
    fans = [f"f{number}" for number in range(100)]
    assert chosen(b"a" * 16, fans) == chosen(b"a" * 16, fans[::-1])
    assert chosen(b"a" * 16, fans) != chosen(b"b" * 16, fans)
    assert len(chosen(b"a" * 16, fans)) == 5
    assert chosen(b"a" * 16, fans[:2]) != []
