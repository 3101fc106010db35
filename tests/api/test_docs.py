"""docs/api.md names exactly the routes and metrics that exist."""

import re
from pathlib import Path

from api.app import ENDPOINTS
from tests.api.client import Client

DOCS = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_route_is_in_the_docs_and_every_route_of_the_docs_exists() -> None:
    (block,) = re.findall(r"```\n(GET .*?)```", DOCS, re.S)
    named = set(re.findall(r"(?<= )/[a-z/{}.-]+", block))
    assert named == {endpoint.path for endpoint in ENDPOINTS}


async def test_every_metric_is_in_the_docs_and_every_metric_of_the_docs_exists(
    api: Client,
) -> None:
    await api.get("context", fanId="nobody")
    text = (await api.ask("GET", "/metrics")).body
    shown = set(re.findall(r"# TYPE (\w+)", text))
    named = set(re.findall(r"`(memory_\w+)`", DOCS))
    assert shown == named
