"""The four typed results, one per kind of intent, and how a model's answer becomes one.

The model is asked for JSON of the result's schema. Our own validation decides: an answer that does
not fit is `InvalidAnswer`, which says what was wrong where and repeats no word of the model.
Fields of ours (`version`, `madeBy`) are not asked for.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from schemas.errors import InvalidAnswer
from schemas.intents import IntentType

Action = Literal["send", "handoff", "nothing"]
ClaimKind = Literal["offer", "price", "promise", "fact"]
MadeBy = Literal["model", "template"]
Judgement = Literal["approve", "revise", "reject"]
ReasonCode = Literal[
    "platform_rule", "creator_limit", "repeated_offer", "price_changed", "contradicted_promise",
    "unsupported_claim", "tone", "language", "other",
]  # fmt: skip

ANSWER_CHARACTERS_MAX: Final = 40_000
MESSAGES_MAX: Final = 3
PROBLEMS_MAX: Final = 8
SHOWN_KEYS_MAX: Final = 5

Line = Annotated[str, Field(min_length=1, max_length=300)]
Text = Annotated[str, Field(min_length=1, max_length=2_000)]
Id = Annotated[str, Field(min_length=1, max_length=255)]
Ids = Annotated[tuple[Id, ...], Field(max_length=20)]


class Answer(BaseModel):
    """Base of the results. JSON names are camelCase."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Result(Answer):
    """What all results say of themselves."""

    version: Literal[1] = 1
    """Of the form."""
    made_by: MadeBy = "model"
    """`template`: by rules of ours from the memory, no model was asked."""


class PlanItem(Answer):
    """One thing to do or to publish."""

    topic: Line
    format: Line
    """What it is: a photo set, a short video, a question, a message."""
    when: Line
    why: Line
    evidence: Ids
    """Ids of messages or catalogue entries that it rests on."""


class Plan(Result):
    """`content_planning`: what the creator could publish next."""

    summary: Text
    items: Annotated[tuple[PlanItem, ...], Field(min_length=1, max_length=20)]


class Claim(Answer):
    """What a message says that binds, or that can be checked."""

    kind: ClaimKind
    text: Line
    evidence: Ids
    """Ids of the messages or catalogue entries that it rests on."""


class Reply(Result):
    """`message_generation`: what to do about one fan, and the messages if something is said."""

    action: Action
    """`handoff`: a person has to answer; `nothing`: nobody should."""
    messages: Annotated[tuple[Text, ...], Field(max_length=MESSAGES_MAX)]
    language: Annotated[str, Field(pattern="^[a-z]{2,3}$")]
    """ISO 639 code of the messages."""
    claims: Annotated[tuple[Claim, ...], Field(max_length=20)]
    reason: Annotated[str, Field(max_length=300)]
    """Why this action, for whoever approves; the fan never sees it."""

    @model_validator(mode="after")
    def _says_something_if_it_is_sent(self) -> "Reply":
        if self.action == "send" and not self.messages:
            raise PydanticCustomError("messages_missing", "send needs 1 to 3 messages")
        if self.action == "nothing" and self.messages:
            raise PydanticCustomError("messages_unfit", "nothing has no messages")
        return self


class Reason(Answer):
    """Why a draft was judged as it was."""

    code: ReasonCode
    text: Line
    message_ids: Ids
    """Of the messages, or the offers, that show it."""


class Verdict(Result):
    """`content_validation`: whether a draft may go out."""

    verdict: Judgement
    reasons: Annotated[tuple[Reason, ...], Field(max_length=20)]

    @model_validator(mode="after")
    def _says_why_not(self) -> "Verdict":
        if self.verdict != "approve" and not self.reasons:
            raise PydanticCustomError("reasons_missing", "anything but approve needs a reason")
        return self

    @property
    def cited(self) -> tuple[str, ...]:
        """Every message that a reason names, each once."""
        return tuple(dict.fromkeys(one for reason in self.reasons for one in reason.message_ids))


Count = Annotated[int, Field(ge=0, le=10_000_000)]


class CampaignReport(Result):
    """`campaign_execution`: how a campaign went. Its counts are the store's, not the model's."""

    summary: Text
    members: Count
    sent: Count
    failed: Count
    skipped: Count
    observations: Annotated[tuple[Line, ...], Field(max_length=10)]
    next_steps: Annotated[tuple[Line, ...], Field(max_length=10)]


AnyResult: TypeAlias = Plan | Reply | Verdict | CampaignReport
RESULTS: Final[Mapping[IntentType, type[Plan | Reply | Verdict | CampaignReport]]] = (
    MappingProxyType(
        {
            "content_planning": Plan,
            "message_generation": Reply,
            "content_validation": Verdict,
            "campaign_execution": CampaignReport,
        }
    )
)
OURS: Final = frozenset(Result.model_fields) | {"madeBy"}
"""Fields that no model is asked for."""


def parse(kind: IntentType, text: str) -> AnyResult:
    """A model's answer as a result. Raises `InvalidAnswer`."""
    if len(text) > ANSWER_CHARACTERS_MAX:
        raise InvalidAnswer((f"the answer is longer than {ANSWER_CHARACTERS_MAX} characters",))
    try:
        return RESULTS[kind].model_validate_json(text)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        known = _names(RESULTS[kind])
        raise InvalidAnswer(
            tuple(f"{_place(one['loc'], known)}: {one['type']}" for one in found[:PROBLEMS_MAX])
        ) from None


def sanitised(result: AnyResult | None) -> dict[str, Any]:
    """What logs and traces may know of a result: its form, and no word of it."""
    keys = [*type(result).model_json_schema(by_alias=True)["properties"]] if result else []
    return {
        "hasData": result is not None,
        "dataType": "undefined" if result is None else "object",
        "dataKeys": keys[:SHOWN_KEYS_MAX],
        "success": result is not None,
    }


def content_of(result: AnyResult) -> str:
    """The result as a text to read: the reference's `content`."""
    if isinstance(result, Reply):
        return "\n".join(result.messages) or result.reason
    if isinstance(result, Verdict):
        return "\n".join((result.verdict, *(reason.text for reason in result.reasons)))
    return result.summary


def schema_of(kind: IntentType) -> dict[str, Any]:
    """The JSON schema that a request names, in the subset that strict mode of the providers takes.

    Every property is required and none is added; bounds and patterns are ours to check. It is one
    object for all requests: not to be changed.
    """
    return _SCHEMAS[kind]


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    whole = model.model_json_schema(by_alias=True)
    definitions = whole.pop("$defs", {})
    found: dict[str, Any] = _strict(whole)
    if definitions:
        found["$defs"] = {name: _strict(one) for name, one in definitions.items()}
    return found


_KEPT: Final = frozenset(("type", "enum", "const", "$ref", "anyOf"))


def _strict(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {key: value for key, value in schema.items() if key in _KEPT}
    if "items" in schema:
        found["items"] = _strict(schema["items"])
    if "properties" in schema:
        asked = {name: one for name, one in schema["properties"].items() if name not in OURS}
        found["properties"] = {name: _strict(one) for name, one in asked.items()}
        found["required"] = [*asked]
        found["additionalProperties"] = False
    return found


def _place(path: tuple[int | str, ...], known: frozenset[str]) -> str:
    """Where, in names of ours: a field that the model invented is `?`."""
    parts = [str(part) if isinstance(part, int) or part in known else "?" for part in path]
    return ".".join(parts) or "$"


def _names(model: type[BaseModel]) -> frozenset[str]:
    return frozenset(_properties(model.model_json_schema(by_alias=True)))


def _properties(schema: Mapping[str, Any]) -> Iterator[str]:
    yield from schema.get("properties", {})
    for one in schema.get("$defs", {}).values():
        yield from _properties(one)


_SCHEMAS: Final[Mapping[IntentType, dict[str, Any]]] = {
    kind: _schema(model) for kind, model in RESULTS.items()
}
