"""`fanmemory`: every command is its own module, imported when it is called."""

import json
import logging
import os
import sys
from typing import Any, Final

import click
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from ops import __version__
from ops.cli.lazy import LazyGroup
from ops.refusals import refusal
from schemas.errors import FanMemoryError

COMMANDS: Final = {
    "accept-loss": ("ops.cli.accept_loss:accept_loss", "Give up what a log lacks, and go on."),
    "analyse": ("ops.cli.analysis:analyse", "Say what lines of text express, as JSON."),
    "api": ("ops.cli.processes:api", "Run the API process."),
    "bench": ("lab.cli.bench:bench", "Measure, and print figures."),
    "chaos": ("lab.cli.chaos:chaos", "Kill everything while events flow; check every promise."),
    "connections": ("ops.cli.connections:connections", "Look after platforms' webhooks."),
    "context": ("ops.cli.context:context", "Print what is remembered of a fan."),
    "demo": ("ops.cli.demo:demo", "Run everything and show it on sample conversations."),
    "dlq": ("ops.cli.dlq:dlq", "Show what was refused, and why."),
    "doctor": ("ops.cli.services:doctor", "Say what is wrong and what to do."),
    "emit": ("ops.cli.emit:emit", "Publish InteractionEvents from a file."),
    "erase": ("ops.cli.erase:erase", "Erase everything that is held of a fan."),
    "evaluate": ("ops.cli.analysis:evaluate", "Judge a model on labelled texts."),
    "import": ("ops.cli.imports:import_", "Bring in what a platform exports."),
    "keys": ("ops.cli.keys:keys", "Look after the keys of fans."),
    "migrate": ("ops.cli.processes:migrate", "Bring the database schema up to date."),
    "rebuild": ("ops.cli.rebuild:rebuild", "Fold all views again from the journal, and switch."),
    "receipt": ("ops.cli.receipt:receipt", "Prove what was erased."),
    "restore-check": (
        "ops.cli.restore_check:restore_check",
        "Say whom a restored database has to forget.",
    ),
    "services": ("ops.cli.services:services", "Install and look at the embedded services."),
    "suppression": (
        "ops.cli.suppression:suppression",
        "Say of whom nothing more is to be remembered.",
    ),
    "token": ("ops.cli.token:token", "Print a development JWT."),
    "topics": ("ops.cli.topics:topics", "List, create and check the topics."),
    "train": ("ops.cli.analysis:train", "Train the text model from a data folder."),
    "up": ("ops.cli.services:up", "Run the whole system."),
    "verify": ("ops.cli.verify:verify", "Compare everything remembered with the journal."),
    "worker": ("ops.cli.processes:worker", "Run one worker process."),
}

REFUSING: Final = {"asyncpg": "PostgreSQL", "aiokafka": "Kafka", "hiredis": "Redis"}
"""Whose library an error comes from that no room of ours has given a name."""


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fanmemory")
def fanmemory() -> None:
    """A streaming memory of every fan."""


def main() -> None:
    """Entry point: our own errors become one sentence and what to do, never a traceback."""
    # What a client library has to say to a person is in the error that follows.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        fanmemory(standalone_mode=True)
    except FanMemoryError as error:
        said = refusal(error) or error
        _report(str(said), said.advice)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "FANMEMORY_" + "_".join(str(part) for part in first["loc"]).upper()
        _report(f"{name}: {first['msg']}", "See the table of settings in docs/operations.md.")
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        told = refusal(error)
        if told is not None:
            _report(str(told), told.advice)
        service = REFUSING.get(type(error).__module__.partition(".")[0])
        if service is None:
            raise
        # The text of a driver's error may carry an address with its password: the class will do.
        _report(f"{service} refused: {type(error).__name__}.", "Run `fanmemory doctor`.")


def _report(message: str, advice: str) -> None:
    if "--json" in sys.argv:
        print(json.dumps({"error": message, "hint": advice}))
    else:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(Text.assemble(("error: ", "bold red"), message))
        console.print(Text(advice, "dim"))
    sys.exit(1)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
