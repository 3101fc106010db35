"""A short form of `fanmemory bench webhooks`: a kill of the API and one of a worker."""

from collections import Counter

import pytest

from lab.bench.webhooks import measure, planned


def test_a_plan_is_the_same_each_time_and_has_its_share_of_repeats() -> None:
    plan = planned(1_000, 0.2, 7)
    assert [one[:3] for one in plan] == [one[:3] for one in planned(1_000, 0.2, 7)]
    told = Counter(charge.id for charge in plan)
    assert 150 < 1_000 - len(told) < 250
    assert len({(charge.id, charge.cents) for charge in plan}) == len(told)


@pytest.mark.usefixtures("forked_programs")
async def test_every_delivery_counts_once_whoever_is_killed() -> None:
    figures = await measure(200, 0.2, 2)
    assert figures["wrong"] == []
    assert figures["kills"] == {"api": 1, "worker-1": 1}
    assert figures["answers"]["200"] == 200
    assert figures["applied"] == figures["charges"] < 180
    assert figures["records"] >= 200
    settled = figures["applied"] + figures["duplicates"]
    assert settled == figures["records"]
