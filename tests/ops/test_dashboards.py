"""The dashboard and the alerts ask only for what our processes tell."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings import Settings
from tests.ops.test_alerts import ALERTS, PROMTOOL, with_promtool
from tests.promql import metrics_of
from tests.registries import names

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "fanmemory.json").read_text("utf-8"))
PANELS: list[dict[str, Any]] = [one for one in DASHBOARD["panels"] if one["type"] != "row"]
PROMETHEUS_OWN = {"up"}
KNOWN = {name for found in names().values() for name in found}
INTERVALS = {"$__rate_interval": "5m", "$__range": "6h"}
"""What Grafana puts in."""


def queries(panel: dict[str, Any]) -> list[str]:
    found = []
    for target in panel["targets"]:
        query = target["expr"]
        for name, interval in INTERVALS.items():
            query = query.replace(name, interval)
        assert "$" not in query
        found.append(query)
    return found


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_each_panel_asks_for_metrics_that_there_are(panel: dict[str, Any]) -> None:
    for query in queries(panel):
        assert metrics_of(query) - PROMETHEUS_OWN <= KNOWN, query
    assert panel["fieldConfig"]["defaults"]["unit"]
    sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
    assert {one["uid"] for one in sources} == {"${datasource}"}


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_asks_for_metrics_that_there_are(alert: str) -> None:
    assert metrics_of(ALERTS[alert]["expr"]) <= KNOWN


def test_the_dashboard_shows_pipeline_api_agent_and_kpis() -> None:
    rows = [one["title"] for one in DASHBOARD["panels"] if one["type"] == "row"]
    assert rows == ["Pipeline", "API", "LLM agent", "The reference's KPIs"]
    ids = [one["id"] for one in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    shown = {name for panel in PANELS for query in queries(panel) for name in metrics_of(query)}
    # Whoever is woken by an alert finds its figure here.
    alarming = {name for rule in ALERTS.values() for name in metrics_of(rule["expr"])}
    assert alarming - shown <= {"memory_partition_stopped", "memory_seals_broken_total"}
    (variable,) = DASHBOARD["templating"]["list"]
    assert (variable["name"], variable["type"]) == ("datasource", "datasource")


def test_a_query_for_something_else_would_be_seen() -> None:
    with pytest.raises(ValueError, match=r"\S"):
        metrics_of("sum(rate(memory_events[5m])")
    assert metrics_of("rate(memory_x_bucket[5m]) / (memory_y + 1)") == {"memory_x", "memory_y"}
    assert "memory_x" not in KNOWN


@with_promtool
def test_promtool_takes_every_query_and_the_example_of_a_configuration(tmp_path: Path) -> None:
    rules = [
        {"record": f"q:{number}", "expr": query}
        for number, query in enumerate(query for panel in PANELS for query in queries(panel))
    ]
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    for name in ("prometheus.yml", "rules.yml"):
        shutil.copy(DEPLOY / "prometheus" / name, tmp_path / name)
    for words in (("rules", file), ("config", tmp_path / "prometheus.yml")):
        command = [str(PROMTOOL), "check", *map(str, words)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert ran.returncode == 0, ran.stdout + ran.stderr


def test_what_is_scraped_and_provisioned_is_what_we_serve() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    (job,) = config["scrape_configs"]
    assert job["job_name"] == "fanmemory"
    settings = Settings()
    first = f"{settings.metrics_host}:{settings.metrics_port}"
    assert job["static_configs"][0]["targets"][0] == first
    assert any(f'job="{job["job_name"]}"' in query for panel in PANELS for query in queries(panel))
    provisioning = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text("utf-8"))
    assert [one["type"] for one in sources["datasources"]] == ["prometheus"]
    boards = yaml.safe_load((provisioning / "dashboards" / "fanmemory.yml").read_text("utf-8"))
    (provider,) = boards["providers"]
    assert re.fullmatch(r"(/\w+)+", provider["options"]["path"])


@pytest.mark.parametrize(
    ("kind", "title"), [("api", "the API"), ("worker", "a worker"), ("agent", "the LLM agent")]
)
def test_the_docs_name_exactly_the_metrics_of_each_process(kind: str, title: str) -> None:
    page = (DEPLOY.parent / "docs" / "monitoring.md").read_text("utf-8")
    (section,) = re.findall(rf"^## Of {title}\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    rows = "\n".join(line for line in section.splitlines() if line.startswith("| `"))
    first = "\n".join(row.split("|")[1] for row in rows.splitlines())
    named = set(re.findall(r"`(memory_\w+)`", first))
    assert named == {name for name in names()[kind] if name.startswith("memory_")}
