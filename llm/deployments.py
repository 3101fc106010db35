"""Azure's deployments: which model each runs, and what it costs, as the settings say.

`azure_deployments` is a list of `name=model`, `name=model*factor` (a Data Zone costs 1.1 times the
list price) or `name=model:input/cached/output` (dollars per million tokens), comma separated.
"""

import re
from decimal import Decimal
from typing import Final, NamedTuple

from infra.settings import Settings
from schemas.errors import Misconfigured

_NUMBER: Final = r"\d{1,6}(?:\.\d{1,6})?"
_ENTRY: Final = re.compile(
    r"(?P<name>[\w.-]{1,64})=(?P<model>[\w.-]{1,64})"
    rf"(?:\*(?P<factor>{_NUMBER})|:(?P<input>{_NUMBER})/(?P<cached>{_NUMBER})/(?P<output>{_NUMBER}))?"
)


class Rates(NamedTuple):
    """Dollars per million tokens."""

    input: Decimal
    cached: Decimal
    output: Decimal


class Deployment(NamedTuple):
    """One line of the table."""

    model: str
    factor: Decimal = Decimal(1)
    """Of the list price."""
    rates: Rates | None = None
    """Instead of the list price."""


def deployments(settings: Settings) -> dict[str, Deployment]:
    """By name. Raises `Misconfigured` for a list that can't be read, or lacks the one in use."""
    found: dict[str, Deployment] = {}
    for entry in filter(None, (one.strip() for one in settings.azure_deployments.split(","))):
        match = _ENTRY.fullmatch(entry)
        if match is None:
            raise Misconfigured(
                "FANMEMORY_AZURE_DEPLOYMENTS has an entry that is no name=model.",
                hint="Write name=model, name=model*1.1 or name=model:0.15/0.075/0.6.",
            )
        rates = None
        if match["input"] is not None:
            rates = Rates(*(Decimal(match[part]) for part in ("input", "cached", "output")))
        found[match["name"]] = Deployment(match["model"], Decimal(match["factor"] or 1), rates)
    if settings.azure_api_key.get_secret_value() and settings.azure_deployment not in found:
        raise Misconfigured(
            "FANMEMORY_AZURE_DEPLOYMENT is not in FANMEMORY_AZURE_DEPLOYMENTS.",
            hint="Say there which model it runs: name=model.",
        )
    return found
