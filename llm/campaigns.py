"""Campaigns, as one process works on them: whoever is due gets its next step.

Who the members of a segment are is read here, page by page, for it takes a second for each 20,000
fans; what is written of it is `stores.workflows.campaigning`'s.
"""

import hashlib
import heapq
import logging
import time
from typing import Final

from infra.clock import now_ms
from infra.failpoints import fail_point
from infra.settings import Settings
from schemas.campaigns import PREVIEWS, CampaignOrder
from schemas.errors import DatabaseUnavailable, FansUnindexed, Fenced
from stores.segments import Segments
from stores.workflows.campaigning import LEASE_SECONDS, Campaigning, Unopened
from stores.workflows.campaigns import Campaign

log = logging.getLogger(__name__)

STEPS_MAX: Final = 20
"""In one go: then the rest of the process has a turn."""
TOO_MANY: Final = "too_many_members"


class _TooMany(Exception):
    """Members than a campaign may have."""


class Campaigner:
    """Works on campaigns for one process."""

    def __init__(self, settings: Settings, campaigning: Campaigning, segments: Segments) -> None:
        self._campaigning = campaigning
        self._segments = segments
        self._members_max = settings.campaign_members_max

    async def work(self) -> None:
        """Take the next step of each campaign that is due. Raises `DatabaseUnavailable`."""
        for _ in range(STEPS_MAX):
            claimed = await self._campaigning.claim()
            if claimed is None:
                return
            fail_point("campaign.after_claim")
            await self._do(claimed)

    async def _do(self, claimed: Campaign) -> None:
        try:
            await self._step(claimed)
        except Fenced:
            log.debug("a campaign was taken away")
        except DatabaseUnavailable:
            raise  # its lease runs out
        except FansUnindexed:
            await self._campaigning.put_off(claimed)
        except _TooMany:
            await self._failed(claimed, TOO_MANY)
        except Unopened:
            log.exception("a campaign can't be opened any more")
            await self._failed(claimed, "seal_broken")
        except Exception as error:
            log.exception("a campaign's step failed", extra={"reason": type(error).__name__})
            await self._failed(claimed, None)

    async def _step(self, claimed: Campaign) -> None:
        if claimed.state == "previewing" and claimed.estimate is None:
            fans = await self._members(claimed)
            await self._campaigning.preview(claimed, len(fans), chosen(claimed.campaign, fans))
        elif claimed.state == "previewing":
            await self._campaigning.look(claimed)
        elif claimed.state == "starting":
            await self._campaigning.start(claimed, await self._members(claimed))
        elif claimed.state == "running":
            await self._campaigning.go_on(claimed)
        elif claimed.state == "stopping":
            await self._campaigning.stop(claimed)
        else:  # its deadline came while it waited for a person
            await self._campaigning.expire(claimed)

    async def _failed(self, claimed: Campaign, reason: str | None) -> None:
        try:
            await self._campaigning.failed_once(claimed, reason)
        except Fenced:
            log.debug("a campaign was taken away")

    async def _members(self, claimed: Campaign) -> list[str]:
        """The ids of all fans who are members now. Raises `Unopened`, `_TooMany`."""
        order: CampaignOrder = await self._campaigning.order(claimed)
        found: list[str] = []
        renewed = time.monotonic()
        moment = now_ms()
        async for fans in self._segments.members(claimed.creator_id, order.segment, moment):
            found += [one.fan_id for one in fans]
            if len(found) > self._members_max:
                raise _TooMany
            if time.monotonic() - renewed > LEASE_SECONDS / 3:
                await self._campaigning.renew(claimed)
                renewed = time.monotonic()
        return found


def chosen(campaign: bytes, fans: list[str]) -> list[str]:
    """Those of a preview: the same ones for the same members, and of no kind of their own."""
    return heapq.nsmallest(
        PREVIEWS, fans, key=lambda fan: hashlib.sha256(campaign + fan.encode()).digest()
    )
