"""What an answer came to: a result, a refusal, a cut, or something invalid. All of them cost."""

from typing import Literal, NamedTuple, TypeAlias

from llm.providers import Completion
from llm.results import AnyResult, parse
from schemas.errors import InvalidAnswer
from schemas.intents import IntentType


class Answered(NamedTuple):
    """It fits."""

    result: AnyResult


class Refused(NamedTuple):
    """The model would not: to a person."""


class CutShort(NamedTuple):
    """The answer was longer than `max_tokens`: asking again would cut it again."""


class Invalid(NamedTuple):
    """It does not fit: once more, with the problems (`Material.problems`), then a failure."""

    problems: tuple[str, ...]


Outcome: TypeAlias = Answered | Refused | CutShort | Invalid
OutcomeName = Literal["answered", "refused", "length", "invalid", "filtered"]


def outcome(kind: IntentType, completion: Completion) -> Outcome:
    """Never raises for anything that a model wrote."""
    if completion.finish == "refusal":
        return Refused()
    if completion.finish == "length":
        return CutShort()
    try:
        return Answered(parse(kind, completion.text))
    except InvalidAnswer as error:
        return Invalid(error.problems)


def name_of(found: Outcome) -> OutcomeName:
    """For records and metrics; `filtered` is a failure's (`code` content_filter)."""
    names: dict[type[Outcome], OutcomeName] = {
        Answered: "answered",
        Refused: "refused",
        CutShort: "length",
        Invalid: "invalid",
    }
    return names[type(found)]
