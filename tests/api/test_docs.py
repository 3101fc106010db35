"""docs/api.md names exactly the routes that exist; docs/monitoring.md the metrics of the API."""

import re
from pathlib import Path

from api.table import ENDPOINTS
from tests.api.client import Client

PAGES = Path(__file__).parents[2] / "docs"
DOCS = (PAGES / "api.md").read_text("utf-8")
MONITORING = (PAGES / "monitoring.md").read_text("utf-8")


def test_every_route_is_in_the_docs_and_every_route_of_the_docs_exists() -> None:
    (block,) = re.findall(r"```\n(GET .*?)```", DOCS, re.S)
    named = set(re.findall(r"(?<= )/[A-Za-z/{}.-]+", block))
    assert named == {endpoint.path for endpoint in ENDPOINTS}


async def test_every_metric_is_in_the_docs_and_every_metric_of_the_docs_exists(
    api: Client,
) -> None:
    await api.get("context", fanId="nobody")
    text = await api.metrics()
    shown = set(re.findall(r"# TYPE (\w+)", text))
    (section,) = re.findall(r"^## Of the API\n(.*?)^## ", MONITORING, re.S | re.M)
    named = set(re.findall(r"`(memory_\w+)`", section))
    assert {name for name in shown if name.startswith("memory_")} == named
