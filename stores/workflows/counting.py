"""Where a campaign's members are, counted in one statement: each of them in exactly one place."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from infra.postgres import Executor
from schemas.campaigns import CampaignCounts
from schemas.workflows import State
from stores import wall
from stores.workflows.campaigns import CAMPAIGN_QUERIES, Campaign, campaign_of

_PLACES: Final[dict[State, str]] = {
    "received": "composing",
    "composing": "composing",
    "awaiting_approval": "drafted",
    "approved": "approved",
    "sending": "approved",
    "sent": "sent",
    "unknown": "unknown",
    "failed": "failed",
}
"""Of a message's states; what ended otherwise was skipped, by its reason."""


class Counted(NamedTuple):
    """A campaign, what its workflow is sealed in, and its counts, all of one moment."""

    campaign: Campaign
    intent: bytes | None
    counts: CampaignCounts


async def counted(
    connection: Executor, ids: Sequence[bytes], creator_id: str | None
) -> dict[bytes, Counted]:
    """Those of these campaigns that there are, for whom they belong to; an operator names no
    creator."""
    asked = CAMPAIGN_QUERIES.counted, list(ids), creator_id
    if creator_id is None:
        rows = await connection.fetch(*asked)
    else:
        rows = await wall.fetch(connection, asked[0], creator_id, *asked[1:])
    by_campaign: dict[bytes, list[Any]] = {}
    for row in rows:
        by_campaign.setdefault(row["campaign"], []).append(row)
    return {
        id: Counted(campaign_of(found[0]), found[0]["intent"], _counts(found))
        for id, found in by_campaign.items()
    }


def _counts(rows: Sequence[Any]) -> CampaignCounts:
    campaign = campaign_of(rows[0])
    places: dict[str, int] = {}
    skipped: dict[str, int] = {}
    for row in rows:
        state, number = row["child_state"], row["children"]
        place = _PLACES.get(state)
        if place is not None:
            places[place] = places.get(place, 0) + number
        elif state == "completed" and row["child_reason"] is None and not campaign.send:
            places["written"] = places.get("written", 0) + number
        elif state is not None:
            why = row["child_reason"] or ("nothing" if state == "completed" else state)
            skipped[why] = skipped.get(why, 0) + number
    for why, number in (("erased", campaign.erased), ("stopped", campaign.dropped)):
        if number:
            skipped[why] = skipped.get(why, 0) + number
    return CampaignCounts(
        members=campaign.members,
        waiting=campaign.waiting,
        composing=places.get("composing", 0),
        drafted=places.get("drafted", 0),
        approved=places.get("approved", 0),
        sent=places.get("sent", 0),
        written=places.get("written", 0),
        unknown=places.get("unknown", 0),
        failed=places.get("failed", 0),
        skipped=dict(sorted(skipped.items())),
    )
