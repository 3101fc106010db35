"""The contract of HTTP: valid, kept, and true of what is really answered."""

import json
import re
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator

from api.contract import Contract
from api.table import ENDPOINTS
from tests.api import fuzzing
from tests.api.client import Client, running_api

CONTRACT = Contract(ENDPOINTS)


def test_it_is_valid() -> None:
    OpenAPIV31SpecValidator(CONTRACT.document).validate()


def test_every_endpoint_is_in_it() -> None:
    paths = CONTRACT.document["paths"]
    for endpoint in ENDPOINTS:
        operation = paths[endpoint.path][endpoint.method.lower()]
        assert operation["operationId"] == endpoint.name
        assert operation["summary"].endswith(".")
    assert len({endpoint.name for endpoint in ENDPOINTS}) == len(ENDPOINTS)


async def test_it_is_answered_and_so_is_a_page_that_loads_and_runs_nothing(api: Client) -> None:
    answer = await api.ask("GET", "/openapi.json", headers={})
    assert answer.status == 200
    assert answer.body == json.loads(CONTRACT.json)
    page = await api.ask("GET", "/docs", headers={})
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.search(r"<script|<link|src=|https?:", page.body)
    for endpoint in ENDPOINTS:
        assert f'id="{endpoint.name}"' in page.body
    linked = set(re.findall(r'href="#([^"]+)"', page.body))
    assert linked <= set(re.findall(r'id="([^"]+)"', page.body))


async def test_generated_requests_are_answered_as_the_contract_says(
    api: Client, tmp_path: Path
) -> None:
    # A busy machine may take longer than 5 s, and that is no break of the contract.
    patient = api.settings.model_copy(update={"request_seconds_max": 15.0})
    async with running_api(patient) as asked:
        status, said = await fuzzing.run(asked.url, asked.token(), tmp_path)
    assert status == 0, said[-8000:]
    generated = re.search(r"(\d+) generated", said)
    assert generated is not None
    assert int(generated[1]) >= fuzzing.CASES_MIN


def _schema(name: str) -> Any:
    return CONTRACT.document["components"]["schemas"][name]


def test_a_schema_says_what_a_client_needs() -> None:
    """A few things that msgspec would not say by itself."""
    assert _schema("InteractionEvent")["properties"]["amount"]["anyOf"][0]["minimum"] == 0
    assert _schema("MemoryContext")["properties"]["lastInteraction"]["format"] == "date-time"
    assert "revenueByCurrency" not in _schema("EngagementMetrics")["required"]
