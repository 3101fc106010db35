"""Answers become results, or say what is wrong with them without a word of the model's."""

import json
from typing import Any, get_args

import pytest

from lab.model_server import ANSWERS
from llm.results import (
    ANSWER_CHARACTERS_MAX,
    RESULTS,
    Plan,
    Reply,
    Verdict,
    content_of,
    parse,
    sanitised,
    schema_of,
)
from schemas.errors import InvalidAnswer
from schemas.intents import INTENT_TYPES, IntentType

REPLY = ANSWERS["message_generation"]


def problems_of(kind: IntentType, answer: object) -> tuple[str, ...]:
    with pytest.raises(InvalidAnswer) as raised:
        parse(kind, answer if isinstance(answer, str) else json.dumps(answer))
    assert raised.value.__cause__ is None
    return raised.value.problems


def test_there_is_one_result_per_type_of_intent() -> None:
    assert set(RESULTS) == set(INTENT_TYPES) == set(get_args(IntentType))


@pytest.mark.parametrize("kind", INTENT_TYPES)
def test_an_answer_of_the_asked_form_is_its_result_and_comes_back_the_same(
    kind: IntentType,
) -> None:
    result = parse(kind, json.dumps(ANSWERS[kind]))
    assert isinstance(result, RESULTS[kind])
    assert (result.version, result.made_by) == (1, "model")
    assert parse(kind, result.model_dump_json()) == result
    assert content_of(result)


@pytest.mark.parametrize("kind", INTENT_TYPES)
def test_a_schema_is_strict_and_asks_for_nothing_of_ours(kind: IntentType) -> None:
    def judge(schema: dict[str, Any]) -> None:
        assert set(schema) <= {
            "type", "enum", "const", "$ref", "anyOf", "items", "properties", "required",
            "additionalProperties", "$defs",
        }  # fmt: skip
        if schema.get("type") == "object":
            assert schema["additionalProperties"] is False
            assert schema["required"] == [*schema["properties"]]
            assert not {"version", "madeBy"} & set(schema["properties"])
        for part in (schema.get("properties", {}), schema.get("$defs", {})):
            for one in part.values():
                judge(one)
        if "items" in schema:
            judge(schema["items"])

    judge(schema_of(kind))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"action": "sing"}, "action: literal_error"),
        ({"action": "send", "messages": []}, "$: messages_missing"),
        ({"action": "nothing"}, "$: messages_unfit"),
        ({"messages": ["a", "b", "c", "d"]}, "messages: too_long"),
        ({"messages": [""]}, "messages.0: string_too_short"),
        ({"language": "English!"}, "language: string_pattern_mismatch"),
        (
            {"claims": [{"kind": "vow", "text": "x", "evidence": []}]},
            "claims.0.kind: literal_error",
        ),
        ({"SENTINEL": 1}, "?: extra_forbidden"),
        ({"claims": [{"kind": "fact", "text": "x", "evidence": [], "SENTINEL": 2}]},
         "claims.0.?: extra_forbidden"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_told_by_place_and_kind(change: dict[str, Any], problem: str) -> None:
    found = problems_of("message_generation", REPLY | change)
    assert found == (problem,)


def test_nothing_of_a_wrong_answer_is_repeated() -> None:
    for answer in ("SENTINEL", '{"SENTINEL": "SENTINEL"}', '["SENTINEL"]', "{"):
        with pytest.raises(InvalidAnswer) as raised:
            parse("message_generation", answer)
        said = repr(raised.value) + str(raised.value) + "".join(raised.value.problems)
        assert "SENTINEL" not in said
        assert raised.value.problems


def test_an_endless_answer_is_not_even_read() -> None:
    assert "longer" in problems_of("content_planning", "x" * (ANSWER_CHARACTERS_MAX + 1))[0]


def test_a_verdict_against_a_draft_says_why_and_cites_each_message_once() -> None:
    assert problems_of("content_validation", {"verdict": "reject", "reasons": []}) == (
        "$: reasons_missing",
    )
    reason = {"code": "tone", "text": "too stiff", "messageIds": ["m-1", "m-2"]}
    found = parse(
        "content_validation",
        json.dumps({"verdict": "revise", "reasons": [reason, reason | {"messageIds": ["m-1"]}]}),
    )
    assert isinstance(found, Verdict)
    assert found.cited == ("m-1", "m-2")
    assert content_of(found) == "revise\ntoo stiff\ntoo stiff"


def test_of_no_result_only_that_is_told() -> None:
    assert sanitised(None) == {
        "hasData": False,
        "dataType": "undefined",
        "dataKeys": [],
        "success": False,
    }


def test_what_is_read_of_a_result_is_its_messages_or_why_there_are_none() -> None:
    handed = parse(
        "message_generation",
        json.dumps(REPLY | {"action": "handoff", "messages": [], "reason": "distress"}),
    )
    assert isinstance(handed, Reply)
    assert content_of(handed) == "distress"
    plan = parse("content_planning", json.dumps(ANSWERS["content_planning"]))
    assert isinstance(plan, Plan)
    assert content_of(plan) == "Music first."
