"""Numbers of a process in Prometheus' form."""

from prometheus_client.core import HistogramMetricFamily

from infra.metrics import Spread, new_registry, render


def test_a_spread_counts_each_value_in_its_bucket_and_all_above() -> None:
    spread = Spread((1.0, 5.0))
    for value in (0.5, 1.0, 1.5, 7.0):
        spread.add(value)
    family = HistogramMetricFamily("seconds", "help", labels=["step"])
    spread.show(family, ["fold"])
    shown = {
        (one.name, one.labels.get("le")): one.value
        for one in family.samples
        if one.labels["step"] == "fold"
    }
    assert shown == {
        ("seconds_bucket", "1.0"): 2,
        ("seconds_bucket", "5.0"): 3,
        ("seconds_bucket", "+Inf"): 4,
        ("seconds_count", None): 4,
        ("seconds_sum", None): 10.0,
    }


def test_two_registries_do_not_clash_and_show_the_process() -> None:
    for registry in (new_registry(), new_registry()):
        assert b"process_resident_memory_bytes" in render(registry)
