"""A short form of `fanmemory bench strangers`."""

import pytest

from infra.settings import Settings
from lab.bench import strangers


async def test_nobody_is_refused_beside_slow_strangers_and_a_tenant_beyond_its_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(strangers, "TIMES", 40)  # a minute's quota is used up within seconds
    monkeypatch.setattr(strangers, "FANS", 20)
    settings = Settings(creator_requests_per_minute=600)
    figures = await strangers.measure(settings, rate=10, seconds=1, connections=5)
    for part in ("alone", "besideStrangers", "aloneAgain", "besideTenant"):
        assert figures[part]["statuses"] == {200: 10}, figures
        assert figures[part]["refused"] == 0
    assert figures["opened"] >= figures["connections"] == 5 * len(strangers.KINDS)
    # What a tenant asks beyond its limit is refused, and it is the tenant who is.
    assert set(figures["tenant"]["statuses"]) == {200, 429}, figures
