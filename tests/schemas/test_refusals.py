"""Explaining refusals: the right field, and never more time than the text is long."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import InvalidInput
from schemas.events import VALUE_BYTES_MAX, parse_interaction
from schemas.refusals import DELIVERY_REASON, DEPTH_MAX, NO_FAN, NO_FAN_REASON, UNREAD

NOON = 1_731_412_800_000
EVENT = '"fanId":"f","creatorId":"c","type":"like","timestamp":"2024-11-12T10:30:00Z"'
CPU_SECONDS_MAX = 0.5
"""Linear, each takes 1 to 40 ms here; quadratic ones took 10 s and more."""

Pairs = list[tuple[str, Any]]
"""An object as it is written: keys can repeat."""

names = st.sampled_from(["a", "b", "c", 'a":'])
"""The last looks like a key with its colon, also where it is a text."""
values = st.recursive(
    st.none() | st.integers(-9, 9) | names,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(st.tuples(names, inner), max_size=4).map(lambda pairs: ("object", pairs))
    ),
    max_leaves=12,
)


def written(value: Any) -> str:
    if isinstance(value, tuple):
        pairs = (f"{json.dumps(name)}:{written(part)}" for name, part in value[1])
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


def repeats_a_key(value: Any) -> bool:
    if isinstance(value, tuple):
        keys = [name for name, _ in value[1]]
        return len(set(keys)) < len(keys) or any(repeats_a_key(part) for _, part in value[1])
    return isinstance(value, list) and any(map(repeats_a_key, value))


def refusal(text: str) -> InvalidInput | None:
    try:
        parse_interaction(text.encode(), NOON)
    except InvalidInput as refused:
        return refused
    return None


@given(values, st.sampled_from(["metadata", "unknown"]))
def test_a_key_that_is_given_twice_is_refused_wherever_it_stands(value: Any, field: str) -> None:
    refused = refusal(f'{{{EVENT},"{field}":{{"x":{written(value)}}}}}')
    if repeats_a_key(value):
        assert refused is not None
        assert refused.reason == "must not hold a key twice"
        assert refused.field == (field if field == "metadata" else "$")
    else:
        assert refused is None or "twice" not in refused.reason


def test_a_field_that_is_given_twice_is_named() -> None:
    refused = refusal(f'{{{EVENT},"fanId":"g"}}')
    assert refused is not None
    assert (refused.field, refused.reason) == ("fanId", "must not be given twice")


@pytest.mark.parametrize("frames", [0, 400])
def test_the_depth_that_is_refused_does_not_depend_on_the_caller(frames: int) -> None:
    def judged(levels: int, frames: int) -> InvalidInput | None:
        if frames:
            return judged(levels, frames - 1)
        return refusal(f'{{{EVENT},"unknown":{"[" * levels}{"]" * levels}}}')

    assert judged(DEPTH_MAX - 1, frames) is None
    refused = judged(DEPTH_MAX, frames)
    assert refused is not None
    assert (refused.field, refused.reason) == ("$", "is nested too deeply")


def filled(before: str, part: Callable[[int], str], after: str) -> str:
    """As many parts as a value may hold."""
    parts, size, number = [], len(before) + len(after), 0
    while size + len(made := part(number)) + 1 <= VALUE_BYTES_MAX:
        parts.append(made)
        size += len(made) + 1
        number += 1
    return before + ",".join(parts) + after


HOSTILE = {
    "keys of one object, the last given twice": filled(
        f'{{{EVENT},"x":{{', lambda n: f'"{n:x}":1', ',"0":1}}'
    ),
    "keys of the event, the last given twice": filled(
        f"{{{EVENT},", lambda n: f'"{n:x}":1', ',"0":1}'
    ),
    "one key, again and again": filled(f'{{{EVENT},"x":{{', lambda _: '"a":1', "}}"),
    "objects that each repeat a key": filled(f'{{{EVENT},"x":[', lambda _: '{"a":1,"a":1}', "]}"),
    "objects that repeat none": filled(f'{{{EVENT},"x":[', lambda _: '{"a":1}', "]}"),
    "numbers, then one outside JSON": filled(
        f'{{{EVENT},"metadata":{{"x":[', lambda _: "1", '],"y":NaN}}'
    ),
    "fields, then a number outside JSON": filled(
        f"{{{EVENT},", lambda n: f'"{n:x}":1', ',"y":NaN}'
    ),
    "long numbers, then a lone surrogate": filled(
        f'{{{EVENT},"metadata":{{"x":[', lambda _: "9" * 4000, ',"\\ud800"]}}'
    ),
    "a number of a quarter of a million digits": f'{{{EVENT},"amount":{"9" * 250_000}}}',
    "quotes before spaces": f'{{{EVENT},"x":["a"{" " * 250_000}]}}',
    "escaped quotes": f'{{{EVENT},"content":"{chr(92) + chr(34)}{(chr(92) + chr(34)) * 120_000}"}}',
    "depth": f'{{{EVENT},"x":{"[" * 120_000}{"]" * 120_000}}}',
    "an enum that looks like an error's path": f'{{{EVENT},"sender":"{" - at `$." * 28_000}"}}',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_event_takes_longer_than_its_length_allows(text: str) -> None:
    assert len(text) <= VALUE_BYTES_MAX
    began = time.process_time()
    refusal(text)
    assert time.process_time() - began < CPU_SECONDS_MAX


@pytest.mark.parametrize("body", ["{}", b"\xff\xfe{\0".decode("utf-8", "surrogateescape")])
@pytest.mark.parametrize(("why", "reason"), [("?", DELIVERY_REASON), (NO_FAN, NO_FAN_REASON)])
def test_a_kept_delivery_is_told_as_one_whatever_bytes_it_came_in(
    body: str, why: str, reason: str
) -> None:
    kept = json.dumps({"type": UNREAD, "creatorId": "c", "reason": why, "body": body})
    with pytest.raises(InvalidInput) as refusal:
        parse_interaction(kept.encode(), NOON)
    assert refusal.value.reason == reason
