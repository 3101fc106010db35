"""A creator's rule of retention over HTTP."""

from typing import Any

import pytest

from tests.api.client import CREATOR, PREFIX, Client


async def ask(api: Client, method: str, creator: str = CREATOR, **more: Any) -> Any:
    return await api.ask(method, f"{PREFIX}/retention", params={"creatorId": creator}, **more)


async def test_a_rule_is_put_shown_and_taken_away(api: Client) -> None:
    assert (await ask(api, "GET")).body["data"] == {"silentDays": None}
    assert (await ask(api, "PUT", json={"silentDays": 365})).body["data"] == {"silentDays": 365}
    assert (await ask(api, "GET")).body["data"] == {"silentDays": 365}
    assert (await ask(api, "PUT", json={"silentDays": None})).status == 200
    assert (await ask(api, "GET")).body["data"] == {"silentDays": None}
    assert (await ask(api, "PUT", "creator_other", json={"silentDays": 1})).status == 403


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{}", b"[]", b'{"silentDays": 0}', b'{"silentDays": 1.5}'),
        *(b'{"silentDays": 36501}', b'{"silentDays": "30"}', b'{"silentDays": 3, "more": 3}'),
    ],
)
async def test_what_is_no_rule_is_refused(api: Client, body: bytes) -> None:
    answer = await ask(api, "PUT", data=body)
    assert answer.status == 400
    assert answer.body["error"].startswith("silentDays")
