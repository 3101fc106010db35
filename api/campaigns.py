"""/api/workflows/campaigns…: what campaigns would write, what they have written, and the brake.

A creator sees and steers their own only. A campaign begins as an intent, by whichever way, and its
drafts are approved like all others.
"""

import re
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.auth import principal_of
from api.components import components_of
from api.envelopes import data
from api.parameters import creator_of, optional, query_of
from api.workflows import DraftVersion, accept, body_of, draft_of, limit_of
from schemas.campaigns import (
    INSTRUCTION_LENGTH_MAX,
    NAME_LENGTH_MAX,
    PER_MINUTE_MAX,
    CampaignBudget,
    CampaignSummary,
    CostRange,
)
from schemas.errors import WorkflowNotFound
from schemas.segments import Segment
from schemas.workflows import State
from stores.workflows.sealed import Vault
from stores.workflows.steering import Campaigns, Preview, Steering, WholeCampaign

_id: Final = re.compile("[0-9a-f]{32}").fullmatch
_encode: Final = msgspec.json.Encoder().encode


class PreviewCampaign(
    msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True, omit_defaults=True
):
    """A campaign that waits for `start` when its preview is there."""

    segment: Segment
    """Whom it is for."""
    instruction: Annotated[str, msgspec.Meta(min_length=1, max_length=INSTRUCTION_LENGTH_MAX)]
    """What the messages are for."""
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LENGTH_MAX)] | None = None
    per_minute: Annotated[int, msgspec.Meta(ge=1, le=PER_MINUTE_MAX)] | None = None
    budget: CampaignBudget | None = None
    send_to_only_fans: bool | None = msgspec.field(default=None, name="sendToOnlyFans")
    """Whether approved drafts are sent; else the drafts are the result."""
    platforms: list[str] | None = None
    deadline: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    not_before: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    intent_id: str | None = None
    more: dict[str, Any] | None = None
    """Of `data`, whatever else each message is made from: `offers`, `limits`, `language`."""


class ResumeCampaign(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """It goes on."""

    budget: CampaignBudget | None = None
    """What all of it may take from now on, in the place of the budget before; null: that stays."""


class PreviewedDraft(msgspec.Struct, frozen=True, rename="camel"):
    """One draft of a preview. It is never sent."""

    workflow_id: str
    recipient_id: str | None
    """Null: the fan was erased."""
    state: State
    reason: str | None
    """Why there is no draft."""
    draft: DraftVersion | None


class CampaignDetails(msgspec.Struct, frozen=True, rename="camel"):
    """Everything that is kept of a campaign; its messages are workflows of their own."""

    campaign: CampaignSummary
    data: dict[str, Any] | None
    """The intent's own; when it has ended, with the counts of its report."""
    estimate: int | None
    """Members that the preview counted; null without one."""
    cost: CostRange | None
    """What the messages would cost; null without a preview."""
    previews: list[PreviewedDraft]


class CampaignPage(msgspec.Struct, frozen=True, rename="camel"):
    """Campaigns, the newest first."""

    campaigns: list[CampaignSummary]
    next_cursor: str | None
    """Null: there are no more."""


async def preview_campaign(request: Request) -> Response:
    """Ask for a campaign's preview: five drafts and what all would cost. It begins with `start`."""
    asked = await body_of(request, PreviewCampaign)
    told = msgspec.to_builtins(asked)
    about = {
        name: told.pop(name)
        for name in ("segment", "instruction", "name", "perMinute", "budget")
        if name in told
    }
    value = {
        "type": "campaign_execution",
        "userId": principal_of(request).user_id,
        "creatorId": creator_of(request),
        "data": (told.pop("more", None) or {}) | about | {"preview": True},
        **told,
    }
    return await accept(request, _encode(value))


async def list_campaigns(request: Request) -> Response:
    """The creator's campaigns, the newest first, each with where its members are."""
    query = query_of(request)
    found, cursor = await _campaigns(request).page(
        creator_of(request), optional(query, "cursor"), limit_of(query)
    )
    return data(request.scope, CampaignPage(found, cursor))


async def get_campaign(request: Request) -> Response:
    """One with the drafts of its preview. Raises `WorkflowNotFound`."""
    return data(
        request.scope,
        _shown(await _campaigns(request).whole(creator_of(request), _asked(request))),
    )


async def start_campaign(request: Request) -> Response:
    """Let it begin, with whoever is a member of its segment now."""
    campaign = _asked(request)
    await _steering(request).start(creator_of(request), campaign)
    return await _told(request, campaign)


async def pause_campaign(request: Request) -> Response:
    """Nothing more of it is begun, composed, approved or sent until it is resumed."""
    campaign = _asked(request)
    await _steering(request).pause(creator_of(request), campaign)
    return await _told(request, campaign)


async def resume_campaign(request: Request) -> Response:
    """Let it go on, with another budget if one is given."""
    campaign, asked = _asked(request), await body_of(request, ResumeCampaign)
    await _steering(request).resume(creator_of(request), campaign, asked.budget)
    return await _told(request, campaign)


async def stop_campaign(request: Request) -> Response:
    """End it: what is not being sent already is not sent."""
    campaign = _asked(request)
    await _steering(request).stop(creator_of(request), campaign)
    return await _told(request, campaign)


def _asked(request: Request) -> bytes:
    """Raises `WorkflowNotFound` for what can't be an id."""
    id: str = request.path_params["campaign"]
    if not _id(id):
        raise WorkflowNotFound("There is no such campaign.")
    return bytes.fromhex(id)


def _steering(request: Request) -> Steering:
    return Steering(components_of(request).writing_for(creator_of(request)))


def _campaigns(request: Request) -> Campaigns:
    components = components_of(request)
    return Campaigns(components.reading, Vault(components.keyring))


async def _told(request: Request, campaign: bytes) -> Response:
    return data(request.scope, await _campaigns(request).summary(creator_of(request), campaign))


def _shown(whole: WholeCampaign) -> CampaignDetails:
    return CampaignDetails(
        whole.summary,
        whole.data,
        whole.estimate,
        whole.cost,
        [_previewed(one) for one in whole.previews],
    )


def _previewed(one: Preview) -> PreviewedDraft:
    row, drafts = one.whole.row, one.whole.drafts
    return PreviewedDraft(
        row.name,
        one.fan_id,
        row.state,
        row.reason,
        draft_of(drafts[-1]) if drafts else None,
    )
