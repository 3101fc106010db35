"""`fanmemory chaos`: prove that nothing is lost and nothing counts twice, whatever is killed."""

import asyncio
import logging
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from lab.chaos.agent import plan as agent_plan
from lab.chaos.agent.run import AgentVerdict, run_agent
from lab.chaos.disks import MOUNTED
from lab.chaos.erasing import plan as erasing_plan
from lab.chaos.erasing.backup import run_backup
from lab.chaos.erasing.run import ErasingVerdict, run_erasing
from lab.chaos.full import lacking
from lab.chaos.plan import FULL, SHORT, Amounts
from lab.chaos.run import Verdict, run_chaos
from ops.cli import options, print_json
from ops.services.process import launcher


@click.command()
@click.option("--seed", type=click.IntRange(0), help="Repeat a run's plan and events.")
@click.option("--events", type=click.IntRange(1000), help="[default: 100000; 12000 with --short]")
@click.option("--workers", type=click.IntRange(2, 16), default=3, show_default=True)
@click.option("--short", is_flag=True, help="A few faults of each quick kind, about a minute.")
@click.option("--runs", type=click.IntRange(1), default=1, help="In a row, the seed counted up.")
@click.option("--load", type=click.IntRange(0, 64), default=0, help="Busy processes beside it.")
@click.option("--keep", is_flag=True, help="Keep the data directory with all logs.")
@click.option("--erase", "erasing", is_flag=True, help="Erase fans in flight, and look for them.")
@click.option("--llm", "agent", is_flag=True, help="Kill the LLM agent at each step instead.")
@click.option("--intents", type=click.IntRange(100), help="With --llm.  [default: 10000]")
@click.option("--rounds", type=click.IntRange(1), help="With --erase.  [default: 300]")
@options.as_json
def chaos(
    seed: int | None,
    events: int | None,
    workers: int,
    short: bool,
    runs: int,
    load: int,
    keep: bool,
    erasing: bool,
    agent: bool,
    intents: int | None,
    rounds: int | None,
    as_json: bool,
) -> None:
    """Kill, pause, cut back and fill everything while events flow; then check every promise.

    With --erase fans are erased meanwhile, and nothing of them may be left. With --llm intents
    flow: nothing may be sent twice, and every cent is known. Runs on services and a data directory
    of its own. Exit code 1 when anything is not as it must be, or when a fault was
    not injected.

    """
    first = secrets.randbelow(1_000_000) if seed is None else seed
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every kill
    if rounds is not None and not erasing:
        raise click.UsageError("--rounds is of --erase.")
    if erasing:
        planned = erasing_plan.SHORT if short else erasing_plan.whole(rounds or 300)
        sys.exit(_erase(first, runs, planned, load, keep, as_json))
    if intents is not None and not agent:
        raise click.UsageError("--intents is of --llm.")
    if agent:
        if erasing:
            raise click.UsageError("--erase and --llm are two runs.")
        asked = agent_plan.SHORT if short else agent_plan.whole(intents or 10_000)
        sys.exit(_prove(first, runs, asked, load, keep, as_json))
    amounts = SHORT if short else FULL
    if MOUNTED & amounts.services.keys() and (why := lacking()):
        click.echo(f"no disk is filled: {why}", err=True)
        left = {name: n for name, n in amounts.services.items() if name not in MOUNTED}
        amounts = replace(amounts, services=left)
    if events is not None:
        amounts = replace(amounts, events=events)
    passed = 0
    with busy(load):
        for number in range(first, first + runs):
            verdict = run_one(number, amounts, workers, keep)
            passed += verdict.passed
            if as_json:
                print_json(describe(verdict))
            else:
                show(verdict)
    if runs > 1:
        click.echo(f"{passed} of {runs} runs passed", err=True)
    sys.exit(passed < runs)


def run_one(seed: int, amounts: Amounts, workers: int, keep: bool) -> Verdict:
    """One run in a directory of its own, told on stderr."""
    with _told(seed, keep) as (data, on_step):
        run = run_chaos(data, seed=seed, workers=workers, amounts=amounts, on_step=on_step)
        return asyncio.run(run)


def _erase(
    first: int, runs: int, amounts: erasing_plan.Amounts, load: int, keep: bool, as_json: bool
) -> int:
    """How many runs did not pass."""
    failed = 0
    with busy(load):
        for seed in range(first, first + runs):
            with _told(seed, keep) as (data, on_step):
                run = run_erasing(data, seed=seed, amounts=amounts, on_step=on_step)
                verdict = asyncio.run(run)
                if amounts is not erasing_plan.SHORT:
                    on_step("an old backup")
                    verdict.checks.extend(asyncio.run(run_backup(data / "old", on_step=on_step)))
            failed += not verdict.passed
            if as_json:
                print_json(_described(verdict))
            else:
                _show(verdict, f"{verdict.faults['rounds']:,} rounds")
    return failed


def _prove(
    first: int, runs: int, amounts: agent_plan.Amounts, load: int, keep: bool, as_json: bool
) -> int:
    """How many runs did not pass."""
    failed = 0
    with busy(load):
        for seed in range(first, first + runs):
            with _told(seed, keep) as (data, on_step):
                run = run_agent(data, seed=seed, amounts=amounts, on_step=on_step)
                verdict = asyncio.run(run)
            failed += not verdict.passed
            if as_json:
                print_json(_described(verdict))
            else:
                _show(verdict, f"{amounts.intents:,} intents")
    return failed


@contextmanager
def _told(seed: int, keep: bool) -> Iterator[tuple[Path, Callable[[str], None]]]:
    """A directory for one run, and where its steps are told."""
    console = Console(stderr=True)
    console.print(f"seed {seed}")
    started = time.monotonic()

    def on_step(step: str) -> None:
        click.echo(f"{time.monotonic() - started:7.1f} s  {step}", err=True)

    data = Path(tempfile.mkdtemp(prefix="fanmemory-chaos-"))
    try:
        yield data, on_step
    finally:
        if keep:
            console.print(f"data in {data}")
        else:
            shutil.rmtree(data, ignore_errors=True)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """So many processes that do nothing but want the processor."""
    words = [*launcher(signal.SIGKILL), sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(words) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def describe(verdict: Verdict) -> dict[str, object]:
    """The verdict for machines."""
    return _described(verdict) | {"emitted": dict(verdict.emitted)}


def _described(verdict: Verdict | ErasingVerdict | AgentVerdict) -> dict[str, object]:
    return {
        "seed": verdict.seed,
        "passed": verdict.passed,
        "seconds": round(verdict.seconds, 1),
        "faults": dict(verdict.faults),
        "deaths": [asdict(death) for death in verdict.deaths],
        "checks": [
            {"name": check.name, "passed": check.passed, "saw": check.saw}
            for check in verdict.checks
        ],
    }


def show(verdict: Verdict) -> None:
    """The verdict for people."""
    _show(verdict, f"{sum(verdict.emitted.values()):,} events")


def _show(verdict: Verdict | ErasingVerdict | AgentVerdict, what: str) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(overflow="fold", style="dim")
    for check in verdict.checks:
        table.add_row("[green]ok[/]" if check.passed else "[bold red]NO[/]", check.name, check.saw)
    console = Console()
    console.print(table, highlight=False)
    ends = Counter((death.how, death.said) for death in verdict.deaths)
    for (how, said), count in ends.most_common():
        console.print(
            f"{count} processes ended by themselves ({how}): {said}", style="yellow", markup=False
        )
    outcome = "[bold green]passed[/]" if verdict.passed else "[bold red]FAILED[/]"
    console.print(
        f"{outcome}: {what} in {verdict.seconds:.0f} s, seed {verdict.seed}",
        highlight=False,
    )
