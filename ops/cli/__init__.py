"""`fanmemory`: every command is its own module, imported when it is called."""

import json
import logging
import os
import sys
from typing import Any, Final

import click

from ops import __version__
from ops.cli.lazy import LazyGroup

COMMANDS: Final = {
    "accept-loss": ("ops.cli.accept_loss:accept_loss", "Give up what a log lacks, and go on."),
    "analyse": ("ops.cli.analysis:analyse", "Say what lines of text express, as JSON."),
    "api": ("ops.cli.processes:api", "Run the API process."),
    "backup": ("ops.cli.backup:backup", "Copy a whole system, sealed, while it runs."),
    "bench": ("lab.cli.bench:bench", "Measure, and print figures."),
    "campaigns": ("ops.cli.campaigns:campaigns", "Write to all fans of a segment."),
    "chaos": ("lab.cli.chaos:chaos", "Kill everything while events flow; check every promise."),
    "connections": ("ops.cli.connections:connections", "Look after platforms' webhooks."),
    "context": ("ops.cli.context:context", "Print what is remembered of a fan."),
    "demo": ("ops.cli.demo:demo", "Run everything and show it on sample conversations."),
    "dlq": ("ops.cli.dlq:dlq", "Show what was refused, and why."),
    "doctor": ("ops.cli.services:doctor", "Say what is wrong and what to do."),
    "emit": ("ops.cli.emit:emit", "Publish InteractionEvents from a file."),
    "erase": ("ops.cli.erase:erase", "Erase everything that is held of a fan."),
    "forget": ("ops.cli.forget:forget", "Forget some messages of a fan."),
    "evaluate": ("ops.cli.analysis:evaluate", "Judge a model on labelled texts."),
    "export": ("ops.cli.export:export", "Write everything that is remembered of a fan."),
    "import": ("ops.cli.imports:import_", "Bring in what a platform exports."),
    "keys": ("ops.cli.keys:keys", "Look after the keys of fans."),
    "llm": ("ops.cli.processes:llm", "Run one process of the LLM agent."),
    "log-id": ("ops.cli.log_id:log_id", "Find a creator or a fan in the logs."),
    "migrate": ("ops.cli.processes:migrate", "Bring the database schema up to date."),
    "rebuild": ("ops.cli.rebuild:rebuild", "Fold all views again from the journal, and switch."),
    "receipt": ("ops.cli.receipt:receipt", "Prove what was erased."),
    "restore": ("ops.cli.restore:restore", "Put a backup back where nothing is yet."),
    "restore-check": (
        "ops.cli.restore_check:restore_check",
        "Say whom a restored database has to forget.",
    ),
    "revoke": ("ops.cli.revoke:revoke", "End tokens before they expire."),
    "roles": ("ops.cli.processes:roles", "Print the SQL that makes the database's roles."),
    "services": ("ops.cli.services:services", "Install and look at the embedded services."),
    "suppression": (
        "ops.cli.suppression:suppression",
        "Say of whom nothing more is to be remembered.",
    ),
    "sweep": ("ops.cli.sweep:sweep", "Erase whom a creator's retention names."),
    "token": ("ops.cli.token:token", "Print a development JWT."),
    "topics": ("ops.cli.topics:topics", "List, create and check the topics."),
    "train": ("ops.cli.analysis:train", "Train the text model from a data folder."),
    "up": ("ops.cli.services:up", "Run the whole system."),
    "validate": ("ops.cli.validate:validate", "Say what would become of a file's events."),
    "verify": ("ops.cli.verify:verify", "Compare everything remembered with the journal."),
    "workflows": (
        "ops.cli.workflows:workflows",
        "Look after what the LLM agent writes and sends.",
    ),
    "worker": ("ops.cli.processes:worker", "Run one worker process."),
}


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
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from ops.cli.failures import tell  # which knows every driver: 0.4 s of imports

        if not tell(error):
            raise
        sys.exit(1)


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
