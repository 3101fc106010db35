"""A short form of `fanmemory bench api`."""

import json
import subprocess
import sys

from lab.bench.feast import DEFINITIONS, FANS, VALUES


def test_bench_api_prints_what_each_call_costs() -> None:
    command = (sys.executable, "-m", "ops.cli", "bench", "api")
    done = subprocess.run(
        [*command, "--rate", "1000", "--seconds", "0.3", "--json"],
        capture_output=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert figures["steady"]["uncached"]["requests"] == figures["fans"]
    for load in (*figures["steady"].values(), *figures["most"].values()):
        assert set(load["statuses"]) == {"200"}
        assert 0 < load["p50Ms"] <= load["p99Ms"] <= load["maxMs"]
    for load in figures["most"].values():
        assert load["cpuMicrosPerRequest"] > 0
    assert figures["most"]["batch"]["eventsPerSecond"] > 0
    assert "feast" not in figures


def test_what_feast_is_given_is_python() -> None:
    compile(DEFINITIONS, "definitions.py", "exec")
    assert f"range({VALUES})" in DEFINITIONS
    assert f"range({FANS})" in DEFINITIONS
