"""`fanmemory bench …`: every figure in the docs comes from one of these. Each prints what it ran.

A command is a module below `lab.bench` and one line here, imported when it is called.
"""

import sys
from pathlib import Path
from typing import Any, Final

import click
from rich.console import Console
from rich.table import Table

from infra.settings import Settings
from ops.cli import options, print_json
from ops.cli.lazy import LazyGroup

COMMANDS: Final = {
    "api": ("lab.cli.bench:api", "What each call of the API costs, and how fast it answers."),
    "backlog": ("lab.cli.bench:backlog", "Memory of a worker with a backlog and a slow Postgres."),
    "context": ("lab.cli.bench:context", "Latency and throughput of context reads."),
    "corrections": ("lab.cli.bench:corrections", "What it costs to fold a fan again."),
    "erase": ("lab.cli.bench:erase", "How long erasing takes, and what it costs beside events."),
    "fans": ("lab.cli.bench:fans", "How fast a creator's fans are listed."),
    "faults": ("lab.cli.bench:faults", "How late answers are while a store is at fault."),
    "fold": ("lab.cli.bench:fold", "What the pure core costs per event."),
    "llm": ("lab.cli.bench:llm", "What our side of a model's call costs."),
    "pipeline": ("lab.cli.bench:pipeline", "Events a second into views, and until one is seen."),
    "rebuild": ("lab.cli.bench:rebuild", "How fast the journal is folded again."),
    "stream": ("lab.cli.bench:stream", "From an event to the clients of its creator's streams."),
    "strangers": ("lab.cli.bench:strangers", "What strangers and a loud tenant cost the others."),
    "webhooks": ("lab.cli.bench:webhooks", "Whether each delivery counts once, under kills."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS)
def bench() -> None:
    """Measure, and print figures. On embedded services of its own, removed afterwards."""


@click.command()
@click.option("--rate", default=500.0, show_default=True, help="Requests a second, open loop.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of each part.")
@click.option(
    "--feast",
    is_flag=True,
    help="Also Feast's Python server, which is installed below the bench's folder (470 MB).",
)
@options.as_json
def api(rate: float, seconds: float, feast: bool, as_json: bool) -> None:
    """What reads, bulk reads and writes over HTTP cost, and their latency at a rate."""
    import uvloop

    from lab.bench.api import measure

    figures = uvloop.run(measure(rate, seconds, feast))
    if as_json:
        print_json(figures)
        return
    console = Console()
    table = Table(title=f"{figures['fans']} fans, at a rate")
    for column in ("", "requests", "per second", "p50 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="right")
    for name, load in figures["steady"].items():
        table.add_row(name, *_row(load))
    console.print(table)
    table = Table(title="as fast as it answers")
    for column in ("", "per second", "p99 ms", "CPU us each", "of a core"):
        table.add_column(column, justify="right")
    for name, load in figures["most"].items():
        table.add_row(name, *_cost(load), f"{load['apiCores']:.2f}")
    for name in ("one", "hundred") if feast else ():
        table.add_row(f"Feast, {name}", *_cost(figures["feast"][name]), "")
    console.print(table)
    console.print(f"[dim]{figures['most']['batch']['eventsPerSecond']:,} events a second[/]")


def _cost(load: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{load['perSecond']:,.0f}",
        f"{load['p99Ms']:.2f}",
        f"{load['cpuMicrosPerRequest']:,.0f}",
    )


@click.command()
@click.option("--rate", default=300.0, show_default=True, help="Reads a second, open loop.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of each part.")
@click.option(
    "--short-answers",
    default=10_000,
    show_default=True,
    help="Answers compared with the cache at 75 % of its need.",
)
@options.as_json
def context(rate: float, seconds: float, short_answers: int, as_json: bool) -> None:
    """Latency and throughput of context reads over HTTP."""
    import uvloop

    from lab.bench.context import measure

    figures = uvloop.run(measure(rate, seconds, short_answers))
    if as_json:
        print_json(figures)
        return
    table = Table(title=f"{figures['fans']} fans, contexts up to {figures['contextBytes']:,} bytes")
    for column in ("", "requests", "per second", "p50 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="right")
    for name in ("miss", "cached", "score", "most"):
        table.add_row(name, *_row(figures[name]))
    console = Console()
    console.print(table)
    most = figures["most"]
    console.print(
        f"[dim]most: {most['connections']} connections, closed loop;"
        f" {most['cpuMicrosPerRequest']} us of API CPU a request[/]"
    )
    short = figures["short"]
    console.print(
        f"[dim]cache at 75 % of its need: {short['wrong']:,} wrong of {short['answers']:,} answers,"
        f" {short['evictions']:,} evictions[/]"
    )


def _row(load: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{load['requests']:,}",
        f"{load['perSecond']:,.0f}",
        f"{load['p50Ms']:.2f}",
        f"{load['p99Ms']:.2f}",
        f"{load['maxMs']:.2f}",
    )


@click.command()
@click.option("--fans", default=100_000, show_default=True, help="Of one creator.")
@click.option("--rate", default=50.0, show_default=True, help="Pages a second, open loop.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of each part.")
@options.as_json
def fans(fans: int, rate: float, seconds: float, as_json: bool) -> None:
    """Pages of 50 of the fans who feel positive and are active enough, in each order."""
    import uvloop

    from lab.bench.fans import measure

    figures = uvloop.run(measure(fans, rate, seconds))
    if as_json:
        print_json(figures)
        return
    table = Table(title=f"{figures['fans']:,} fans, pages of {figures['pageBytes']:,} bytes")
    for column in ("", "requests", "per second", "p50 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="right")
    for name in ("steady", "most"):
        table.add_row(name, *_row(figures[name]))
    console = Console()
    console.print(table)
    console.print(f"[dim]{figures['most']['cpuMicrosPerRequest']:,.0f} us of the API's CPU each[/]")


@click.command()
@click.option("--rate", default=50.0, show_default=True, help="Contexts a second, open loop.")
@click.option("--seconds", default=8.0, show_default=True, help="Length of each fault.")
@options.as_json
def faults(rate: float, seconds: float, as_json: bool) -> None:
    """Contexts while Redis, then Postgres, is a black hole, resets, drips, or answers 3 s late.

    Exit code 1 when any request takes more than its deadline and 10 %.
    """
    import uvloop

    from lab.bench.faults import measure

    figures = uvloop.run(measure(Settings(), rate, seconds))
    if as_json:
        print_json(figures)
    else:
        table = Table(title=f"{rate:g} contexts a second")
        for column in ("", "requests", "per second", "p50 ms", "p99 ms", "max ms"):
            table.add_column(column, justify="right")
        for column in ("late", "statuses", "mended s"):
            table.add_column(column, justify="right")
        stalled = {"of": "redis, all cached", "fault": "black hole", "late": ""}
        for one in (stalled | figures["stalled"], *figures["faults"]):
            said = " ".join(f"{status}: {count}" for status, count in one["statuses"].items())
            more = (str(one["late"]), said, str(one["mendedSeconds"]))
            table.add_row(f"{one['of']}, {one['fault']}", *_row(one), *more)
        Console().print(table)
    if any(one["late"] for one in figures["faults"]):
        sys.exit(1)


@click.command()
@click.option("--rate", default=100.0, show_default=True, help="The client's requests a second.")
@click.option("--seconds", default=15.0, show_default=True, help="Length of each part.")
@click.option("--connections", default=300, show_default=True, help="Of each slow kind, at once.")
@options.as_json
def strangers(rate: float, seconds: float, connections: int, as_json: bool) -> None:
    """A client's latencies beside slow connections of every kind, and beside a creator that asks
    ten times what it may.

    Exit code 1 when any of the client's requests is refused.
    """
    import uvloop

    from lab.bench.strangers import measure

    figures = uvloop.run(measure(Settings(), rate, seconds, connections))
    parts = ("alone", "besideStrangers", "aloneAgain", "besideTenant")
    if as_json:
        print_json(figures)
    else:
        table = Table(title=f"{rate:g} contexts a second of one creator")
        for column in ("", "requests", "per second", "p50 ms", "p99 ms", "max ms", "refused"):
            table.add_column(column, justify="right")
        companies = ("alone", f"{figures['connections']:,} slow ones", "alone again", "loud tenant")
        for company, part in zip(companies, parts, strict=True):
            table.add_row(company, *_row(figures[part]), str(figures[part]["refused"]))
        console = Console()
        console.print(table)
        memory, noisy = figures["memoryMib"], figures["tenant"]["statuses"]
        console.print(
            f"[dim]the API took {memory['before']:.0f} MiB before, and {memory['beside']:.0f}"
            f" beside them; they came {figures['opened']:,} times. The loud tenant got {noisy}.[/]"
        )
    if any(figures[part]["refused"] for part in parts):
        sys.exit(1)


@click.command()
@click.option("--events", default=200_000, show_default=True, help="Synthetic events.")
@click.option(
    "--input",
    "inputs",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    help="Files of InteractionEvents instead.",
)
@click.option("--rate", default=200.0, show_default=True, help="Events a second, for latency.")
@click.option("--seconds", default=15.0, show_default=True, help="Length of that part.")
@click.option("--workers", default=2, show_default=True)
@options.as_json
def pipeline(
    events: int, inputs: tuple[Path, ...], rate: float, seconds: float, workers: int, as_json: bool
) -> None:
    """Throughput into durable views, and latency until an event is seen, a signal told."""
    import uvloop

    from lab.bench.pipeline import measure

    figures = uvloop.run(measure(events, inputs, rate, seconds, workers))
    if as_json:
        print_json(figures)
        return
    through = figures["throughput"]
    table = Table(title=f"{through['events']:,} events, {workers} workers", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("events a second", f"{through['eventsPerSecond']:,.0f}")
    for part, micros in through["cpuMicrosPerEvent"].items():
        table.add_row(f"CPU us per event: {part}", f"{micros}")
    table.add_row("share of all cores used", f"{through['cpuShare']:.0%}")
    for what in ("visible", "called"):
        for figure in ("p50", "p99"):
            table.add_row(f"{what} at {rate:.0f}/s: {figure} ms", f"{figures[what][figure + 'Ms']}")
    Console().print(table)


@click.command()
@click.option("--events", default=1_000, show_default=True, help="Interactions of the fan.")
@click.option("--rounds", default=20, show_default=True, help="Corrections of each kind.")
@options.as_json
def corrections(events: int, rounds: int, as_json: bool) -> None:
    """Milliseconds of a correction's transaction, beside one without."""
    import uvloop

    from lab.bench.corrections import measure

    figures = uvloop.run(measure(events, rounds))
    if as_json:
        print_json(figures)
        return
    table = Table(title=f"a fan of {figures['events']:,} events, {figures['rounds']} of each")
    for column in ("", "median ms", "max ms"):
        table.add_column(column, justify="right")
    for name in ("plain", "delete", "edit", "refund"):
        table.add_row(name, f"{figures[name]['medianMs']}", f"{figures[name]['maxMs']}")
    Console().print(table)


@click.command()
@click.option("--rate", default=100.0, show_default=True, help="Events a second beside clear.")
@click.option("--erasures", default=50.0, show_default=True, help="Erasures a second.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of the first part.")
@click.option("--events", default=100_000, show_default=True, help="Of each half of the second.")
@click.option(
    "--history", default=1_000, show_default=True, help="Messages of whom one is forgotten."
)
@click.option("--workers", default=2, show_default=True)
@options.as_json
def erase(
    rate: float,
    erasures: float,
    seconds: float,
    events: int,
    history: int,
    workers: int,
    as_json: bool,
) -> None:
    """Milliseconds until clear and forgetting a message answer 200, and what erasing costs the
    pipeline."""
    import uvloop

    from lab.bench.erase import measure

    figures = uvloop.run(measure(rate, erasures, seconds, events, history, workers))
    if as_json:
        print_json(figures)
        return
    clear, beside = figures["clear"], figures["pipeline"]
    table = Table(title=f"{erasures:g} erasures a second, {workers} workers", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for status, count in sorted(clear["answers"].items()):
        table.add_row(f"answered {status}", f"{count:,}")
    for name in ("p50", "p99", "max"):
        table.add_row(f"at {rate:g} events/s: {name} ms", f"{clear[f'{name}Ms']}")
    forget = figures["forget"]
    for name in ("p50", "p99", "max"):
        of = f"forget one of {forget['messages']:,} messages"
        table.add_row(f"{of}: {name} ms", f"{forget[f'{name}Ms']}")
    table.add_row("events a second alone", f"{beside['aloneEventsPerSecond']:,.0f}")
    table.add_row("events a second beside", f"{beside['besideEventsPerSecond']:,.0f}")
    table.add_row("cost of its rate", f"{beside['cost']:.0%}")
    Console().print(table)


@click.command()
@click.option("--events", default=1_000_000, show_default=True, help="Events that wait.")
@click.option("--seconds", default=30.0, show_default=True, help="Length of each part.")
@click.option("--slow", default=100.0, show_default=True, help="How much slower Postgres answers.")
@options.as_json
def backlog(events: int, seconds: float, slow: float, as_json: bool) -> None:
    """Peak memory of a worker with a backlog, then with a slow Postgres besides."""
    import uvloop

    from lab.bench.backlog import measure

    figures = uvloop.run(measure(events, seconds, slow))
    if as_json:
        print_json(figures)
        return
    table = Table(title=f"{figures['events']:,} events waiting, one worker")
    for column in ("Postgres", "peak MiB", "by quarter", "seconds", "events/s", "left", "restarts"):
        table.add_column(column, justify="right")
    for name, part in (("as it is", figures["plain"]), (f"{slow:g}x slower", figures["slowed"])):
        table.add_row(
            name,
            f"{part['peakMiB']:,.1f}",
            " ".join(f"{peak:.0f}" for peak in part["quartersMiB"]),
            f"{part['seconds']:,.1f}",
            f"{part['eventsPerSecond']:,.0f}",
            f"{part['eventsWaiting']:,}",
            ", ".join(part["restarts"]) or "none",
        )
    Console().print(table)


@click.command()
@click.option("--events", default=300_000, show_default=True, help="Synthetic events.")
@click.option("--rounds", default=3, show_default=True, help="Rebuilds; the fastest counts.")
@options.as_json
def rebuild(events: int, rounds: int, as_json: bool) -> None:
    """Events a second that a rebuild folds from the journal, with CPU by part."""
    import uvloop

    from lab.bench.rebuild import measure

    figures = uvloop.run(measure(events, rounds))
    if as_json:
        print_json(figures)
        return
    best, alone = figures["rebuild"], figures["alone"]
    table = Table(
        title=f"{best['records']:,} records, {best['fans']:,} fans, {figures['cores']} cores",
        show_header=False,
    )
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("events a second", f"{best['eventsPerSecond']:,.0f}")
    for part, micros in best["cpuMicrosPerEvent"].items():
        table.add_row(f"CPU us per event: {part}", f"{micros}")
    table.add_row("share of all cores used", f"{best['cpuShare']:.0%}")
    table.add_row("events a second, had it all cores", f"{best['eventsPerSecondOfAllCores']:,.0f}")
    table.add_row("one partition alone: reading, us", f"{alone['readMicrosPerEvent']}")
    table.add_row("one partition alone: folding, us", f"{alone['foldMicrosPerEvent']}")
    table.add_row("writers held back by the switch, ms", f"{best['switchMs']}")
    table.add_row("differences that verify finds", f"{figures['differences']}")
    Console().print(table)


@click.command()
@click.option("--seconds", default=4.0, show_default=True, help="CPU time for all figures.")
@options.as_json
def fold(seconds: float, as_json: bool) -> None:
    """What the pure core costs per event: fold, encode, decode, render, explain."""
    from lab.bench.fold import measure

    figures = measure(seconds)
    if as_json:
        print_json(figures)
        return
    table = Table("what", "figure", title="The pure core, per event or call")
    for name, value in figures.items():
        table.add_row(name, f"{value:g}")
    Console().print(table)


@click.command()
@click.option("--streams", default=1_000, show_default=True, help="Open at once.")
@click.option("--creators", default=100, show_default=True, help="Whose streams they are.")
@click.option("--rate", default=200.0, show_default=True, help="Updates a second, of all creators.")
@click.option("--seconds", default=20.0, show_default=True, help="Length.")
@options.as_json
def stream(streams: int, creators: int, rate: float, seconds: float, as_json: bool) -> None:
    """From an event to the clients of all streams of its creator, through the whole pipeline.

    One creator may have a quarter of the streams: with 4 creators there is most to tell.
    """
    import uvloop

    from lab.bench.stream import measure

    figures = uvloop.run(measure(streams, creators, rate, seconds))
    if as_json:
        print_json(figures)
        return
    table = Table(title=f"{streams:,} streams of {creators:,} creators", show_header=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name in ("updates", "told", "lost", "resets", "toldPerSecond"):
        table.add_row(name, f"{figures[name]:,}")
    for name in ("p50Ms", "p99Ms", "maxMs", "feedP50Ms", "feedP99Ms"):
        table.add_row(name, f"{figures[name]:,}")
    for name in ("apiCpuMicrosPerTold", "apiCpuShare", "workerCpuShare", "listenersCpuShare"):
        table.add_row(name, f"{figures[name]}")
    Console().print(table)


@click.command()
@click.option("--deliveries", default=1_000, show_default=True, help="How many are sent.")
@click.option("--repeats", default=0.2, show_default=True, help="Share that tells of known money.")
@click.option("--kills", default=9, show_default=True, help="Of API and workers, in turn.")
@click.option("--seed", default=1, show_default=True, help="Another plan.")
@options.as_json
def webhooks(deliveries: int, repeats: float, kills: int, seed: int, as_json: bool) -> None:
    """Whether each delivery of a platform counts once, while API and workers are killed.

    Exit code 1 when anything is not as it must be.
    """
    import uvloop

    from lab.bench.webhooks import measure

    figures = uvloop.run(measure(deliveries, repeats, kills, seed))
    if as_json:
        print_json(figures)
        sys.exit(bool(figures["wrong"]))
    table = Table(title=f"{deliveries:,} deliveries of {figures['charges']:,} charges")
    for column in ("", ""):
        table.add_column(column, justify="right")
    for name in ("seconds", "records", "applied", "duplicates", "repeats", "conflicts"):
        table.add_row(name, f"{figures[name]:,}")
    for name in ("kills", "answers"):
        table.add_row(name, ", ".join(f"{of} {n:,}" for of, n in figures[name].items()))
    Console().print(table)
    for one in figures["wrong"]:
        click.echo(one, err=True)
    sys.exit(bool(figures["wrong"]))


@click.command()
@click.option("--calls", default=1_000, show_default=True, help="Calls in each part.")
@click.option("--at-once", default=8, show_default=True, help="Callers of the second part.")
@click.option("--fans", default=200, show_default=True, help="Whole workflows; 0: none.")
@click.option("--parked", default=10_000, show_default=True, help="Workflows that only wait.")
@click.option("--seconds", default=10.0, show_default=True, help="Length of that part.")
@options.as_json
def llm(calls: int, at_once: int, fans: int, parked: int, seconds: float, as_json: bool) -> None:
    """What our side of a model's call adds, and what whole workflows take; the model is a stand-in
    that answers at once."""
    import uvloop

    from lab.bench import workflows
    from lab.bench.llm import measure

    figures = uvloop.run(measure(calls, at_once))
    if fans:
        figures["workflows"] = uvloop.run(workflows.measure(fans, parked, seconds))
    if as_json:
        print_json(figures)
        return
    overhead, busy = figures["overhead"], figures["atOnce"]
    table = Table(title=f"{figures['calls']:,} calls, prompts of {figures['promptCharacters']:,}")
    for column in ("", "p50 ms", "p99 ms", "CPU ms"):
        table.add_column(column, justify="right")
    table.add_row(
        "one by one", f"{overhead['p50Ms']}", f"{overhead['p99Ms']}", f"{overhead['cpuMs']}"
    )
    for step, milliseconds in overhead["cpuMsOf"].items():
        table.add_row(step, "", "", f"{milliseconds}")
    console = Console()
    console.print(table)
    console.print(
        f"[dim]{busy['callers']} at once: {busy['perSecond']} calls a second,"
        f" {busy['cpuMs']} ms of CPU each[/]"
    )
    if fans:
        done, sent, waiting = (figures["workflows"][name] for name in ("done", "sent", "parked"))
        console.print(
            f"[dim]{done['workflows']:,} replies: {done['perSecond']} a second, {done['cpuMs']} ms"
            f" of CPU each and {done['postgresCpuMs']} of Postgres\n"
            f"approved to sent: p50 {sent['p50Ms']} ms, p99 {sent['p99Ms']} ms\n"
            f"{waiting['workflows']:,} that wait: {waiting['agentCorePercent']} % of a core, and"
            f" {waiting['postgresCorePercent']} % of Postgres[/]"
        )
