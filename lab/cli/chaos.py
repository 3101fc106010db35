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
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lab.chaos.agent import plan as agent_plan
from lab.chaos.agent.run import run_agent
from lab.chaos.disks import MOUNTED
from lab.chaos.erasing import plan as erasing_plan
from lab.chaos.erasing.backup import run_backup
from lab.chaos.erasing.run import run_erasing
from lab.chaos.full import lacking
from lab.chaos.plan import FULL, SHORT, Amounts
from lab.chaos.run import EventsVerdict, run_chaos
from lab.chaos.verdict import Verdict
from ops.cli import options, print_json
from ops.services.process import launcher

Step = Callable[[str], None]
Run = Callable[[int, Path, Step], Coroutine[Any, Any, tuple[Verdict, str]]]
"""Of a seed, in a directory of its own: the verdict, and what was done."""


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
    if intents is not None and not agent:
        raise click.UsageError("--intents is of --llm.")
    if erasing and agent:
        raise click.UsageError("--erase and --llm are two runs.")
    if erasing:
        run = _of_erasing(erasing_plan.SHORT if short else erasing_plan.whole(rounds or 300))
    elif agent:
        run = _of_agent(agent_plan.SHORT if short else agent_plan.whole(intents or 10_000))
    else:
        run = _of_events(_amounts(short, events), workers)
    passed = 0
    with busy(load):
        for number in range(first, first + runs):
            with _told(number, keep) as (data, on_step):
                verdict, what = asyncio.run(run(number, data, on_step))
            passed += verdict.passed
            if as_json:
                print_json(describe(verdict))
            else:
                show(verdict, what)
    if runs > 1:
        click.echo(f"{passed} of {runs} runs passed", err=True)
    sys.exit(passed < runs)


def _amounts(short: bool, events: int | None) -> Amounts:
    amounts = SHORT if short else FULL
    if MOUNTED & amounts.services.keys() and (why := lacking()):
        click.echo(f"no disk is filled: {why}", err=True)
        left = {name: n for name, n in amounts.services.items() if name not in MOUNTED}
        amounts = replace(amounts, services=left)
    return amounts if events is None else replace(amounts, events=events)


def _of_events(amounts: Amounts, workers: int) -> Run:
    async def run(seed: int, data: Path, on_step: Step) -> tuple[Verdict, str]:
        verdict = await run_chaos(
            data, seed=seed, workers=workers, amounts=amounts, on_step=on_step
        )
        return verdict, f"{sum(verdict.emitted.values()):,} events"

    return run


def _of_erasing(amounts: erasing_plan.Amounts) -> Run:
    async def run(seed: int, data: Path, on_step: Step) -> tuple[Verdict, str]:
        verdict = await run_erasing(data, seed=seed, amounts=amounts, on_step=on_step)
        if amounts is not erasing_plan.SHORT:
            on_step("an old backup")
            verdict.checks.extend(await run_backup(data / "old", on_step=on_step))
        return verdict, f"{verdict.faults['rounds']:,} rounds"

    return run


def _of_agent(amounts: agent_plan.Amounts) -> Run:
    async def run(seed: int, data: Path, on_step: Step) -> tuple[Verdict, str]:
        verdict = await run_agent(data, seed=seed, amounts=amounts, on_step=on_step)
        return verdict, f"{amounts.intents:,} intents"

    return run


@contextmanager
def _told(seed: int, keep: bool) -> Iterator[tuple[Path, Step]]:
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
    found: dict[str, object] = {
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
    if isinstance(verdict, EventsVerdict):
        found["emitted"] = dict(verdict.emitted)
    return found


def show(verdict: Verdict, what: str) -> None:
    """The verdict for people; `what` was done."""
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
