"""The proofs of erasing, short, and that they would notice what they look for."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest

from infra.failpoints import ERASING
from lab.chaos.checks import Check
from lab.chaos.erasing.backup import Backup, run_backup
from lab.chaos.erasing.checks import check_faults, check_scans
from lab.chaos.erasing.log import left_by
from lab.chaos.erasing.plan import SHORT, Amounts, make_plan, whole
from lab.chaos.erasing.rounds import RECOVERED_SECONDS_MAX
from lab.chaos.erasing.run import run_erasing
from lab.chaos.erasing.scan import KEY, OPENED, PLACES, words_in
from lab.chaos.erasing.sentinels import MARK, Planted, sentinel
from schemas.control import Erase, encode_control

SEED = 7
WHO = ("creator", "fan")


@pytest.mark.usefixtures("forked_programs")
async def test_a_short_run_of_erasing_keeps_every_promise(tmp_path: Path) -> None:
    told: list[str] = []
    verdict = await run_erasing(tmp_path, seed=SEED, amounts=SHORT, on_step=told.append)
    assert [check for check in verdict.checks if not check.passed] == [], "\n".join(told)
    assert verdict.passed


@pytest.mark.usefixtures("forked_programs")
async def test_an_old_backup_brings_nobody_back(tmp_path: Path) -> None:
    told: list[str] = []
    checks = await run_backup(tmp_path, Backup(erased=8, forgotten=3, kept=3), told.append)
    assert [check for check in checks if not check.passed] == [], "\n".join(told)
    assert len(checks) == 5


@pytest.mark.parametrize("amounts", [SHORT, whole(300)], ids=["short", "whole"])
def test_every_fail_point_of_erasing_has_its_turn(amounts: Amounts) -> None:
    steps = [step for lane in make_plan(SEED, amounts) for step in lane]
    crashes = Counter(step.point for step in steps if step.point)
    assert crashes == dict.fromkeys(ERASING, amounts.crashes)
    kills = Counter(step.target for step in steps if not step.point)
    assert kills == Counter(dict(amounts.kills) | dict(amounts.services))
    assert make_plan(SEED, amounts) == make_plan(SEED, amounts)


def test_a_run_that_did_less_than_it_promised_fails() -> None:
    amounts = whole(300)
    least = {check.name.removeprefix("injected and seen: ") for check in _faults(Counter())}
    enough = Counter(dict.fromkeys(least, 300))
    assert all(check.passed for check in _faults(enough))
    assert len(least) == len(ERASING) + len(amounts.kills) + len(amounts.services) + 3
    for name in least - {LATE}:
        assert not all(check.passed for check in _faults(enough - Counter({name: 300})))
    assert [one.name for one in _faults(enough, RECOVERED_SECONDS_MAX + 1) if not one.passed] == [
        LATE
    ]


LATE = f"what was accepted is complete {RECOVERED_SECONDS_MAX:.0f} s after a recovery"


def _faults(done: Counter[str], seconds: float = 1.0) -> list[Check]:
    return check_faults(done, seconds, whole(300))


def event(id: str, fan: str = "fan") -> tuple[bool, bytes]:
    return False, msgspec.json.encode({"eventId": id, "creatorId": "creator", "fanId": fan})


def order(id: str) -> tuple[bool, bytes]:
    return True, encode_control(Erase(*WHO, id))


def test_the_log_tells_who_is_to_be_remembered() -> None:
    records = [
        event("before"),
        order("first"),
        event("between"),
        order("first"),  # a copy counts no more
        event("another's", "other"),
        (False, b"no event"),
        event("behind"),
    ]
    left = left_by(records, {WHO, ("creator", "nobody")})
    assert left.events == {WHO: ["between", "behind"], ("creator", "nobody"): []}
    assert (left.records, left.orders, left.ordered) == (7, 2, {"first"})
    assert left_by([*records, order("second")], {WHO}).events == {WHO: []}


def planted() -> Planted:
    made = Planted(WHO)
    for what in ("a message", "a draft"):
        made.word(what)
    return made


@pytest.mark.parametrize("control", [None, *range(1, 9)])
def test_a_word_is_found_plain_and_as_postgres_compresses_it(control: int | None) -> None:
    made = planted()
    words = {word.encode(): what for word, what in made.words.items()}
    (word, what), other = next(iter(words.items())), sentinel().encode()
    if control is not None:
        pieces = [word[:control], *(word[at : at + 8] for at in range(control, len(word), 8))]
        word = b"\x00".join(pieces)
    noise = bytes(range(256)) + MARK.encode() + b"Z"
    assert list(words_in(noise + word + noise, words)) == [what]
    assert list(words_in(noise + other + word[:-1] + noise, words)) == []


def test_a_scan_that_found_less_before_or_anything_after_fails() -> None:
    made = planted()
    everything = {what: set(PLACES) for what in (*made.words.values(), KEY, OPENED)}
    assert all(check.passed for check in check_scans(made, everything, {}))
    for what in everything:
        found = {one: where for one, where in everything.items() if one != what}
        assert [one.passed for one in check_scans(made, found, {})] == [False, True]
        assert [one.passed for one in check_scans(made, everything, {what: {"kafka"}})] == [
            True,
            False,
        ]
    for place in PLACES:
        found = {what: where - {place} for what, where in everything.items()}
        assert [one.passed for one in check_scans(made, found, {})] == [False, True]
