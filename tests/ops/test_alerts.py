"""Every alert fires when it should, does not when it should not, and is silent without traffic.

promtool evaluates the rules as Prometheus would, over series that are given here: one value a
minute, in its own notation (`0+60x30` counts 60 a minute for half an hour). `make test` fetches it
(deploy/prometheus/promtool.sh); where it is not to be had, these tests are skipped.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.promql import metrics_of

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yml"
ALERTS: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    for rule in group["rules"]
}
PROMTOOL = shutil.which("promtool", path=str(ROOT / ".venv" / "bin")) or shutil.which("promtool")
with_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool is not here: deploy/prometheus/promtool.sh fetches it"
)

Series = Mapping[str, str]
AT = 25
"""Minutes after which the alerts are looked at, unless a case says when."""
API = 'route="/api/of-memory/context",method="GET"'
OK, FAILED, MISSED = (
    f'memory_api_requests_total{{{API},status="{status}"}}' for status in (200, 503, 404)
)
HITS, READS = "memory_cache_hits_total", "memory_cache_requests_total"


def breaker(state: str, name: str = "memory-cache") -> str:
    return f'memory_circuit_breaker_state{{breaker="{name}",state="{state}"}}'


def durations(slow: str, fast: str, route: str = "/api/of-memory/context") -> Series:
    """Answers of 1 to 2 s, and below 5 ms, as they are counted."""
    total = f"0+{int(slow.split('+')[1].split('x')[0]) + int(fast.split('+')[1].split('x')[0])}x60"
    bucket = f'memory_api_duration_seconds_bucket{{route="{route}",method="GET",le='
    return {
        f'{bucket}"0.005"}}': fast,
        f'{bucket}"0.5"}}': fast,
        f'{bucket}"1"}}': fast,
        f'{bucket}"2"}}': total,
        f'{bucket}"+Inf"}}': total,
    }


def calls(outcome: str) -> str:
    return (
        f'memory_llm_calls_total{{provider="openai",type="message_generation",outcome="{outcome}"}}'
    )


PLACE = 'topic="journal",partition="1"'


class Case(NamedTuple):
    """What makes an alert fire, with which labels; what is near to that; and what stands still."""

    fires: Series
    near: Sequence[Series]
    still: Series
    labels: Mapping[str, str] = {}
    at: int = AT


CASES: dict[str, Case] = {
    "HighErrorRate": Case(
        {OK: "0+600x60", FAILED: "0+10x60"},
        (
            {OK: "0+600x60", FAILED: "0+5x60"},
            {OK: "0+600x60", MISSED: "0+100x60"},  # what clients ask wrongly is theirs
            {OK: "0+1x60", FAILED: "0x15 1x60"},  # one of a few at night
        ),
        {OK: "600x60", FAILED: "10x60"},
    ),
    "CircuitBreakerOpen": Case(
        # The ping of each second: a scrape sees the one or the other.
        {
            breaker("open"): "0 1 0 1 0 1 0 1 0 1 0 1 0x60",
            breaker("half_open"): "0 0 1 0 1 0 1 0 1 0 1 0 1x60",
        },
        ({breaker("open"): "0x24 1", breaker("half_open"): "0x60", breaker("closed"): "1x60"},),
        {breaker("open"): "0x60", breaker("half_open"): "0x60"},
        {"breaker": "memory-cache"},
    ),
    "HighLatency": Case(
        durations("0+60x60", "0+600x60"),
        (
            durations("0+6x60", "0+600x60"),
            durations("0+60x60", "0+600x60", "/api/of-memory/export"),
        ),
        durations("0+0x60", "0+0x60"),
        {"route": "/api/of-memory/context"},
    ),
    "LowCacheHitRate": Case(
        {HITS: "0+420x60", READS: "0+600x60"},
        ({HITS: "0+540x60", READS: "0+600x60"}, {HITS: "0x60", READS: "0+5x60"}),
        {HITS: "420x60", READS: "600x60"},
    ),
    "CircuitBreakerTrips": Case(
        {'memory_circuit_breaker_trips_total{breaker="memory-cache"}': "0x10 2+1x50"},
        ({'memory_circuit_breaker_trips_total{breaker="memory-cache"}': "0x10 4x50"},),
        {'memory_circuit_breaker_trips_total{breaker="memory-cache"}': "70x60"},
        {"breaker": "memory-cache"},
    ),
    "HighRetryRate": Case(
        {'memory_retries_total{of="cache"}': "0+60x60", OK: "0+600x60"},
        ({'memory_retries_total{of="cache"}': "0+12x60", OK: "0+600x60"},),
        {'memory_retries_total{of="cache"}': "60x60", OK: "600x60"},
    ),
    "MemoriesMissing": Case(
        {'memory_degraded_reads_total{kind="minimal"}': "0x20 1x40"},
        ({'memory_degraded_reads_total{kind="cache"}': "0+100x60"},),
        {'memory_degraded_reads_total{kind="minimal"}': "0x60"},
    ),
    "SealsBroken": Case(
        {"memory_seals_broken_total": "0x20 1x40"},
        ({"memory_seals_broken_total": "0x5 1x60"},),  # long ago
        {"memory_seals_broken_total": "0x60"},
    ),
    "EventsWait": Case(
        {f"memory_partition_oldest_unread_seconds{{{PLACE}}}": "0x20 30 90 150 210 270 330x40"},
        ({f"memory_partition_oldest_unread_seconds{{{PLACE}}}": "50x60"},),
        {f"memory_partition_oldest_unread_seconds{{{PLACE}}}": "0x60"},
        {"topic": "journal"},
    ),
    "LogWentBackwards": Case(
        {f"memory_partition_lag{{{PLACE}}}": "0x20 -3x40"},
        ({f"memory_partition_lag{{{PLACE}}}": "10000x60"},),
        {f"memory_partition_lag{{{PLACE}}}": "0x60"},
        {"topic": "journal", "partition": "1"},
    ),
    "PartitionStopped": Case(
        {f"memory_partition_stopped{{{PLACE}}}": "0x20 1x40"},
        ({f"memory_partition_stopped{{{PLACE}}}": "1x20 0x40"},),
        {f"memory_partition_stopped{{{PLACE}}}": "0x60"},
        {"topic": "journal", "partition": "1"},
    ),
    "EventsQuarantined": Case(
        {'memory_events{outcome="quarantined"}': "3x20 4x40"},
        ({'memory_events{outcome="duplicates"}': "0+9x60"},),
        {'memory_events{outcome="quarantined"}': "3x60"},
        {"outcome": "quarantined"},
    ),
    "OutboxNotPublished": Case(
        {'memory_outbox_oldest_seconds{topic="memory-updates"}': "0x20 70x40"},
        ({'memory_outbox_oldest_seconds{topic="memory-updates"}': "20x60"},),
        {'memory_outbox_oldest_seconds{topic="memory-updates"}': "0x60"},
        {"topic": "memory-updates"},
    ),
    "NothingIsWatched": Case(
        {f"memory_partition_lag{{{PLACE}}}": "0x10 stale"},
        ({f"memory_partition_lag{{{PLACE}}}": "0x24"},),
        {f"memory_partition_lag{{{PLACE}}}": "0x60"},
    ),
    "SendUnknown": Case(
        {'memory_workflows{state="unknown"}': "1x60"},
        ({'memory_workflows{state="sending"}': "5x60"},),
        {"memory_workflows_other": "0x60"},
    ),
    "ApprovalWaits": Case(
        {'memory_workflows_oldest_seconds{state="awaiting_approval"}': "0+120x60"},
        (
            {'memory_workflows_oldest_seconds{state="awaiting_approval"}': "0+60x60"},
            {'memory_workflows_oldest_seconds{state="unknown"}': "0+120x60"},
        ),
        {"memory_workflows_other": "0x60"},
    ),
    "AgentFallsBehind": Case(
        {'memory_workflows_overdue_seconds{state="received"}': "0x20 60 120 180 240 300 360x40"},
        ({'memory_workflows_overdue_seconds{state="received"}': "60x60"},),
        {'memory_workflows_overdue_seconds{state="received"}': "0x60"},
    ),
    "AgentGone": Case(
        {'memory_provider_parked{provider="openai"}': "0x10 stale"},
        ({'memory_provider_parked{provider="openai"}': "0x60"},),
        {"memory_workflows_other": "0x60"},  # there was none
    ),
    "ManyFiltered": Case(
        {calls("content_filter"): "0+1x90", calls("answered"): "0+9x90"},
        (
            {calls("content_filter"): "0+1x90", calls("answered"): "0+60x90"},
            {calls("content_filter"): "0x20 2x70", calls("answered"): "0x20 4x70"},
        ),
        {calls("content_filter"): "10x90", calls("answered"): "90x90"},
        {"provider": "openai"},
        80,
    ),
    "BudgetWarning": Case(
        {'memory_budgets_warned{scope="creator",period="day"}': "0x20 1x40"},
        ({'memory_budgets_warned{scope="creator",period="day"}': "1x20 0x40"},),
        {'memory_budgets_warned{scope="creator",period="day"}': "0x60"},
        {"scope": "creator", "period": "day"},
    ),
    "BudgetExhausted": Case(
        {'memory_budget_refusals_total{type="message_generation"}': "0x20 1x40"},
        ({'memory_budget_refusals_total{type="message_generation"}': "0x5 9x60"},),
        {'memory_budget_refusals_total{type="message_generation"}': "0x60"},
    ),
    "CampaignOutOfBudget": Case(
        {'memory_campaigns{state="paused",reason="budget"}': "0x20 1x40"},
        (
            {'memory_campaigns{state="paused",reason="budget"}': "1x20 0x40"},
            {'memory_campaigns{state="paused",reason="hand"}': "1x60"},
        ),
        {'memory_campaigns{state="running",reason=""}': "0x60"},
    ),
    "CampaignFallsBehind": Case(
        {'memory_campaigns_overdue_seconds{state="running",reason=""}': "0x20 0+60x40"},
        ({'memory_campaigns_overdue_seconds{state="running",reason=""}': "100x60"},),
        {'memory_campaigns_overdue_seconds{state="running",reason=""}': "0x60"},
    ),
    "ProviderParked": Case(
        {'memory_provider_parked{provider="openai"}': "0x20 1x40"},
        ({'memory_provider_parked{provider="openai"}': "1x20 0x40"},),
        {'memory_provider_parked{provider="openai"}': "0x60"},
        {"provider": "openai"},
    ),
}


def run(tmp_path: Path, rules: Path, tests: Sequence[Any]) -> None:
    """promtool's own verdict; JSON is YAML."""
    file = tmp_path / "tests.yml"
    made = {"rule_files": [str(rules)], "evaluation_interval": "1m", "tests": list(tests)}
    file.write_text(json.dumps(made))
    ran = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def looked_at(alert: str, series: Series, at: int, expected: Sequence[Any]) -> Any:
    given = [{"series": name, "values": values} for name, values in series.items()]
    looks = [{"eval_time": f"{at}m", "alertname": alert, "exp_alerts": list(expected)}]
    return {"interval": "1m", "input_series": given, "alert_rule_test": looks}


def as_told(alert: str, labels: Mapping[str, str]) -> Any:
    """The alert with its labels, and its annotations as a person reads them."""
    rule = ALERTS[alert]
    filled = {
        name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda found: labels[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    return {"exp_labels": {**rule["labels"], **labels}, "exp_annotations": filled}


def test_every_alert_has_its_cases_and_says_what_to_do() -> None:
    assert set(CASES) == set(ALERTS)
    for name, rule in ALERTS.items():
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert set(rule["annotations"]) == {"summary", "action", "runbook"}, name


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_leads_to_a_section_that_there_is(alert: str) -> None:
    page, _, anchor = ALERTS[alert]["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor in [as_anchor(heading) for heading in headings]


def as_anchor(heading: str) -> str:
    """What a link to a heading is called where our pages are read."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_the_docs_name_each_alert_and_how_loud_it_is() -> None:
    page = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
    named = re.findall(r"^\| `(\w+)` \| [^|]+ \| (page|ticket) \|$", page, re.MULTILINE)
    assert named == [(name, rule["labels"]["severity"]) for name, rule in ALERTS.items()]


def test_every_case_is_about_what_its_alert_asks_for() -> None:
    for name, case in CASES.items():
        asked = metrics_of(ALERTS[name]["expr"])
        given = {series.partition("{")[0].removesuffix("_bucket") for series in case.fires}
        assert given <= asked, name


@with_promtool
@pytest.mark.parametrize("alert", CASES)
def test_an_alert_fires_when_it_should_and_only_then(alert: str, tmp_path: Path) -> None:
    case = CASES[alert]
    told = [as_told(alert, case.labels)]
    tests = [looked_at(alert, case.fires, case.at, told)]
    tests += [looked_at(alert, series, case.at, ()) for series in case.near]
    tests.append(looked_at(alert, case.still, case.at, ()))
    if alert != "NothingIsWatched":
        tests.append(looked_at(alert, {"nothing_else": "1x60"}, case.at, ()))
    run(tmp_path, RULES, tests)


REFERENCE = {
    "HighErrorRate": ("rate(memory_api_errors_total[5m]) > 0.01", "5m"),
    "CircuitBreakerOpen": ('memory_circuit_breaker_state{state="open"} == 1', "1m"),
    "HighLatency": ("histogram_quantile(0.95, memory_api_duration_seconds) > 0.5", "5m"),
    "LowCacheHitRate": (
        "rate(memory_cache_hits_total[5m]) / rate(memory_cache_requests_total[5m]) < 0.8",
        "10m",
    ),
}
"""As the reference has them."""


@with_promtool
def test_the_references_alerts_do_what_the_docs_say_of_them(tmp_path: Path) -> None:
    rules = [{"alert": name, "expr": expr, "for": wait} for name, (expr, wait) in REFERENCE.items()]
    file = tmp_path / "reference.yml"
    file.write_text(json.dumps({"groups": [{"name": "reference", "rules": rules}]}))
    errors = 'memory_api_errors_total{route="/x",type="NOT_FOUND",status="404"}'
    labels = {"route": "/x", "type": "NOT_FOUND", "status": "404"}
    tests = [
        # One fan in a minute whom nobody knows.
        looked_at("HighErrorRate", {errors: "0+1x60"}, AT, [{"exp_labels": labels}]),
        # Every answer takes more than a second.
        looked_at("HighLatency", durations("0+600x60", "0+0x60"), AT, ()),
        # Open all the time, and tried each second, so that some scrapes see it half open.
        looked_at("CircuitBreakerOpen", CASES["CircuitBreakerOpen"].fires, 9, ()),
        # One fan in two minutes who had not been read before.
        looked_at("LowCacheHitRate", {HITS: "0x60", READS: "0+0.5x60"}, AT, [{"exp_labels": {}}]),
    ]
    run(tmp_path, file, tests)
