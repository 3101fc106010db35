"""A short form of `fanmemory bench llm`."""

import json
from decimal import Decimal

from click.testing import CliRunner

from lab.cli.bench import llm


def test_bench_llm_prints_what_a_call_takes_by_step() -> None:
    ran = CliRunner().invoke(llm, ["--calls", "5", "--at-once", "2", "--fans", "0", "--json"])
    assert ran.exit_code == 0, ran.output
    figures = json.loads(ran.output)
    assert figures["calls"] == 5
    assert set(figures["overhead"]["cpuMsOf"]) == {
        "prompt", "route", "request", "answer", "checks", "price",
    }  # fmt: skip
    assert figures["atOnce"]["perSecond"] > 0
    assert Decimal(figures["costUsd"]) == 30 * Decimal("0.00024"), "warm ones were paid, too"
    assert (
        "at once"
        in CliRunner().invoke(llm, ["--calls", "5", "--at-once", "2", "--fans", "0"]).output
    )
