"""`fanmemory bench context` runs on its own and prints what it promises."""

import json
import subprocess
import sys


def test_bench_context_prints_figures_of_every_part() -> None:
    command = (sys.executable, "-m", "ops.cli", "bench", "context")
    done = subprocess.run(
        [*command, "--rate", "50", "--seconds", "0.5", "--short-answers", "2000", "--json"],
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert figures["contextBytes"] > 5_000
    assert figures["miss"]["requests"] == figures["fans"]
    assert figures["cached"]["requests"] == 25
    for part in ("miss", "cached", "score", "most"):
        assert set(figures[part]["statuses"]) == {"200"}
        assert 0 < figures[part]["p50Ms"] <= figures[part]["p99Ms"] <= figures[part]["maxMs"]
    assert (figures["short"]["answers"], figures["short"]["wrong"]) == (2_000, 0)
    assert figures["short"]["evictions"] > 100
    assert figures["most"]["cpuMicrosPerRequest"] > 0
