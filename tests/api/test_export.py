"""The export over HTTP: whole, as JSON or as a page, and only the creator's own."""

import json

from tests.api.client import CREATOR, FAN, PREFIX, Client


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
