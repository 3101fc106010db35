"""Campaigns: what `campaign_execution` may say in `data`, and how a campaign stands.

A campaign is one workflow, and one message workflow for each member of its segment. Its members are
counted once, at its start; from then on they are, at any moment, exactly the sum of the counts.
"""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

import msgspec

from schemas.characters import has_control, has_visible
from schemas.errors import InvalidInput
from schemas.segments import FIELDS, Segment
from schemas.times import Time

CampaignState = Literal["previewing", "ready", "starting", "running", "paused", "stopping", "ended"]

DATA_BYTES_MAX: Final = 8_192
"""Of a campaign's `data`: each member's workflow has a copy of it."""
INSTRUCTION_LENGTH_MAX: Final = 4_000
NAME_LENGTH_MAX: Final = 100
PER_MINUTE_MAX: Final = 600
MONEY_MAX: Final = Decimal(1_000_000)
TOKENS_MAX: Final = 10**12
PREVIEWS: Final = 5
"""Drafts of a preview."""


class CampaignBudget(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all calls of a campaign may take together; null: no limit of its own."""

    money: Decimal | None = None
    """US dollars."""
    tokens: Annotated[int, msgspec.Meta(ge=0, le=TOKENS_MAX)] | None = None

    def __post_init__(self) -> None:
        if self.money is not None and not (self.money.is_finite() and 0 <= self.money <= MONEY_MAX):
            raise InvalidInput("budget.money", f"must be from 0 to {MONEY_MAX} US dollars")


class CampaignOrder(msgspec.Struct, frozen=True, rename="camel"):
    """What of a campaign's `data` is about the campaign; the rest is told to each message."""

    segment: Segment
    """Whom it is for: the creator's fans who are members at its start."""
    instruction: str
    """What the messages are for."""
    name: str | None = None
    per_minute: Annotated[int, msgspec.Meta(ge=1, le=PER_MINUTE_MAX)] | None = None
    """Messages that are begun in a minute; null, or more than the setting: the setting's."""
    budget: CampaignBudget | None = None
    preview: bool = False
    """It waits for `start` when its preview is there; else it starts at once."""


_OURS: Final = frozenset(("segment", "name", "perMinute", "budget", "preview"))
_REASONS: Final = {
    "segment": "must be an object of conditions: " + ", ".join(FIELDS),
    "instruction": f"must be a text of 1 to {INSTRUCTION_LENGTH_MAX} characters",
    "name": f"must be a text of 1 to {NAME_LENGTH_MAX} characters",
    "perMinute": f"must be a whole number from 1 to {PER_MINUTE_MAX}",
    "budget": "must be an object with money (US dollars), tokens, or both",
    "preview": "must be true or false",
}


def order_of(data: Mapping[str, Any]) -> CampaignOrder:
    """The order in a campaign's `data`. Raises `InvalidInput` with the field and the fix."""
    for name in ("segment", "instruction"):
        if data.get(name) is None:
            raise InvalidInput(f"data.{name}", _REASONS[name])
    given: dict[str, Any] = {}
    for field in msgspec.structs.fields(CampaignOrder):
        name = field.encode_name
        if data.get(name) is None:
            continue
        try:
            given[field.name] = msgspec.convert(data[name], field.type, strict=True)
        except msgspec.ValidationError:
            raise InvalidInput(f"data.{name}", _REASONS[name]) from None
        except InvalidInput as error:
            where = error.field if error.field.startswith(name) else f"{name}.{error.field}"
            raise InvalidInput(f"data.{where}", error.reason) from None
    order = CampaignOrder(**given)
    _text("instruction", order.instruction, INSTRUCTION_LENGTH_MAX)
    if order.name is not None:
        _text("name", order.name, NAME_LENGTH_MAX)
        if has_control(order.name):
            raise InvalidInput("data.name", "must not contain control characters")
    return order


def message_data(data: Mapping[str, Any]) -> dict[str, Any]:
    """What each member's message is made from: all that is not about the campaign."""
    return {name: value for name, value in data.items() if name not in _OURS}


def _text(name: str, value: str, length_max: int) -> None:
    if has_visible(value) is None or len(value) > length_max:
        raise InvalidInput(f"data.{name}", _REASONS[name])


class CampaignCounts(msgspec.Struct, frozen=True, rename="camel"):
    """Where the members are: each of them is counted in exactly one place."""

    members: int
    """As many as there were at the start; 0 before it."""
    waiting: int
    """Nothing was begun for them yet."""
    composing: int
    drafted: int
    """Wait to be approved."""
    approved: int
    """Wait to be sent, or are being sent."""
    sent: int
    written: int
    """Drafts of a campaign that sends nothing."""
    unknown: int
    """Nobody knows whether they were sent."""
    failed: int
    skipped: dict[str, int]
    """Why -> how many."""

    @property
    def skipped_all(self) -> int:
        return sum(self.skipped.values())


class CostRange(msgspec.Struct, frozen=True):
    """What all messages together will cost, in US dollars: decimal numbers."""

    least: str
    """If each costs what the cheapest draft of the preview did."""
    most: str
    """If each costs the most that a call can, as it was reserved for the preview."""


class CampaignSpent(msgspec.Struct, frozen=True):
    """What the calls of a campaign took, or have reserved."""

    money: str
    tokens: int


class CampaignSummary(msgspec.Struct, frozen=True, rename="camel"):
    """How a campaign stands: no text of anybody's but its name."""

    workflow_id: str
    name: str | None
    state: CampaignState
    reason: str | None
    """Why it is paused, stopping or ended."""
    user_id: str
    send: bool
    per_minute: int
    counts: CampaignCounts
    budget: CampaignBudget
    spent: CampaignSpent
    deadline: Time | None
    created_at: Time
    started_at: Time | None
    ended_at: Time | None
