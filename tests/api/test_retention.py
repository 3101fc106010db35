"""A creator's rule of retention over HTTP."""

from typing import Any

import pytest

from tests.api.client import CREATOR, PREFIX, Client


async def ask(api: Client, method: str, creator: str = CREATOR, **more: Any) -> Any:
    return await api.ask(method, f"{PREFIX}/retention", params={"creatorId": creator}, **more)


async def test_a_rule_is_put_shown_and_taken_away(api: Client) -> None:
    nothing = {"silentDays": None, "historyDays": None}
    assert (await ask(api, "GET")).body["data"] == nothing
    for given, then in (
        ({"silentDays": 365}, {"silentDays": 365, "historyDays": None}),
        ({"silentDays": 365, "historyDays": 90}, {"silentDays": 365, "historyDays": 90}),
        # Who knows nothing of it, leaves it as it is.
        ({"silentDays": 30}, {"silentDays": 30, "historyDays": 90}),
        ({"silentDays": None}, {"silentDays": None, "historyDays": 90}),
        (nothing, nothing),
    ):
        assert (await ask(api, "PUT", json=given)).body["data"] == then
        assert (await ask(api, "GET")).body["data"] == then
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


@pytest.mark.parametrize("days", [b"0", b"-1", b"1.5", b"36501", b'"30"', b"true"])
async def test_what_is_no_number_of_days_of_history_is_refused(api: Client, days: bytes) -> None:
    answer = await ask(api, "PUT", data=b'{"silentDays": null, "historyDays": ' + days + b"}")
    assert answer.status == 400
    assert answer.body["error"].startswith("historyDays")
