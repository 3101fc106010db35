"""What an amount is roughly worth: for scores and thresholds alone, never for sums."""

from schemas.journal import JournalEntry
from schemas.money import major_units
from schemas.rates import DOLLARS, OTHERS


def dollars(entry: JournalEntry) -> float:
    """About what the amount is worth in US dollars; exact, if it is in them or names nothing."""
    amount = entry.amount or 0
    details = entry.details
    if details is None or details.currency is None:
        return amount / 100
    return major_units(amount, details.currency) * DOLLARS.get(details.currency, OTHERS)
