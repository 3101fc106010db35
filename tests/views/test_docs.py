"""docs/views.md names what there is."""

import re
from pathlib import Path

import msgspec
from msgspec.structs import fields
from pytest import mark

from schemas import context
from views import explain
from views.state import PARTS, FanState

PAGE = (Path(__file__).parents[2] / "docs" / "views.md").read_text()
NAMES = set(re.findall(r"`([^`]+)`", PAGE))


@mark.parametrize("part", PARTS)
def test_the_page_names_every_field_of_the_stored_state(part: str) -> None:
    stored = PAGE.partition("## The stored state")[2]
    row = next(line for line in stored.splitlines() if line.startswith(f"| `{part}` |"))
    assert {field.name for field in fields(PARTS[part].State)} <= set(re.findall(r"`(\w+)`", row))


@mark.parametrize(
    "document",
    [
        context.EmotionalState,
        context.EngagementMetrics,
        context.PersonalityProfile,
        context.FanPreferences,
        context.CommunicationPreferences,
        context.OfferState,
        context.Inbox,
    ],
)
def test_the_page_names_every_field_of_the_documents(document: type[msgspec.Struct]) -> None:
    public = {field.encode_name for field in fields(document)} - {"fanId", "creatorId"}
    assert public <= NAMES


def test_the_page_names_every_field_that_can_be_explained() -> None:
    assert {*explain.FIELDS, explain.REVENUE} <= NAMES
    assert {field.name for field in fields(FanState)} <= NAMES
