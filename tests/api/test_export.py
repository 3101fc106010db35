"""The export over HTTP: whole, as JSON or as a page, and only the creator's own."""

import asyncio
import json

from api.export import EXPORTS_MAX
from infra.postgres import connecting
from tests.api.client import CREATOR, FAN, PREFIX, SECONDS_MAX, Client


async def test_a_creator_gets_everything_of_a_fan(api: Client) -> None:
    answer = await api.get("export")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    context = (await api.get("context")).body["data"]
    document = answer.body
    assert document["export"]["fanId"] == FAN
    assert len(document["events"]) == 61
    assert document["context"]["recentMessages"] == context["recentMessages"]
    assert "creator_other" not in json.dumps(document)


async def test_a_browser_gets_a_page_without_scripts(api: Client) -> None:
    headers = {"Authorization": f"Bearer {api.token()}", "Accept": "text/html,*/*"}
    asked = {"fanId": FAN, "creatorId": CREATOR}
    answer = await api.ask("GET", f"{PREFIX}/export", headers=headers, params=asked)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.body.endswith("</body></html>\n")
    assert "<script" not in answer.body
    assert "how was your day?" in answer.body


async def test_anothers_fan_and_an_unknown_one_are_refused(api: Client) -> None:
    assert (await api.get("export", creatorId="creator_other")).status == 403
    assert (await api.get("export", fanId="nobody at all")).status == 404
    assert (await api.get("export", fanId="")).status == 400


async def test_of_many_who_ask_at_once_only_so_many_hold_a_connection(api: Client) -> None:
    """All of them wait in the same moment: whoever is counted late would let too many in."""
    async with connecting(api.settings.postgres_url) as locking:
        async with locking.transaction():
            await locking.execute("LOCK TABLE subject IN ACCESS EXCLUSIVE MODE")
            asked = [asyncio.create_task(api.get("export")) for _ in range(EXPORTS_MAX + 3)]
            refused = []
            for answered in asyncio.as_completed(asked, timeout=SECONDS_MAX):
                refused.append((await answered).status)
                if len(refused) == 3:
                    break
        assert refused == [503, 503, 503]
        statuses = sorted(one.status for one in await asyncio.gather(*asked))
        assert statuses == [200] * EXPORTS_MAX + [503] * 3
    # Places come back, also from who was refused for another reason.
    for _ in range(EXPORTS_MAX + 1):
        assert (await api.get("export", fanId="nobody at all")).status == 404
        assert (await api.get("export")).status == 200
