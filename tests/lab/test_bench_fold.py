"""The micro-benchmark of the pure core."""

import json

from click.testing import CliRunner

from lab.bench.fold import interactions, measure
from lab.cli.bench import fold


def test_two_runs_fold_the_same_events() -> None:
    assert interactions(50) == interactions(50)
    assert [event.time for event in interactions(50)] == sorted(e.time for e in interactions(50))


def test_every_figure_is_above_zero_and_the_command_prints_them_as_json() -> None:
    ran = CliRunner().invoke(fold, ["--json", "--seconds", "0.1"])
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.stdout)
    assert figures.keys() == measure(0.05).keys()
    assert all(value > 0 for value in figures.values())
