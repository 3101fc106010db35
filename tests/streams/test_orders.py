"""Which orders are done together with which events: the order with a fan's own events stays."""

from dataclasses import dataclass
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from schemas.control import Erase, Forget, Order
from stores.positions import Batch
from streams.orders import ERASURES_MAX, Unit, units


@dataclass(frozen=True)
class _Record:
    partition: int
    offset: int
    value: bytes
    order: Order | None = None


def _record(partition: int, offset: int, what: str, fan: str) -> _Record:
    value = msgspec.json.encode({"creatorId": "creator", "fanId": fan})
    orders: dict[str, Order] = {
        "erase": Erase("creator", fan, str(offset)),
        "forget": Forget("creator", fan, str(offset)),
    }
    return _Record(partition, offset, value, orders.get(what))


def _batch(partition: int, steps: list[tuple[str, str]], gap: int = 1) -> Batch:
    records = [_record(partition, gap * at + 3, *step) for at, step in enumerate(steps)]
    return Batch(partition, 1, gap * len(steps) + 5, records)


def _order(record: Any) -> Order | None:
    order: Order | None = record.order
    return order


def _of(unit: Unit) -> list[tuple[int, str]]:
    return [(one.partition, one.value.decode()) for b in unit.batches for one in b.records]


def test_events_alone_are_one_unit() -> None:
    batches = [_batch(0, [("event", "a"), ("event", "b")]), _batch(1, [])]
    assert [unit.batches for unit in units(batches, _order)] == [batches]


def test_orders_go_with_the_events_of_others_and_with_what_they_erase() -> None:
    steps = [("event", "a"), ("erase", "a"), ("event", "b"), ("erase", "c"), ("event", "d")]
    (unit,) = units([_batch(0, steps), _batch(1, [("erase", "x"), ("event", "a")])], _order)
    assert sorted(unit.erasures) == [(0, 4), (0, 6), (1, 3)]


def test_who_comes_back_is_of_the_next_unit_and_so_is_all_behind() -> None:
    steps = [("erase", "a"), ("event", "b"), ("event", "a"), ("event", "c"), ("erase", "a")]
    first, second = units([_batch(0, steps)], _order)
    assert [one.offset for one in first.batches[0].records] == [3, 4]
    assert sorted(second.erasures) == [(0, 7)]


def test_also_if_what_comes_back_is_no_good_event() -> None:
    batch = _batch(0, [("erase", "a"), ("event", "a")])
    assert len(list(units([batch], _order))) == 2


def test_an_order_to_forget_is_by_itself() -> None:
    steps = [("erase", "a"), ("forget", "b"), ("forget", "c"), ("event", "d")]
    found = list(units([_batch(0, steps), _batch(1, [("event", "e")])], _order))
    assert [unit.forget and unit.forget.fan_id for unit in found] == [None, "b", "c", None]
    assert [len(_of(unit)) for unit in found] == [2, 1, 1, 1]


def test_one_transaction_erases_so_many() -> None:
    steps = [("erase", f"fan-{number}") for number in range(ERASURES_MAX + 1)]
    assert [len(unit.erasures) for unit in units([_batch(0, steps)], _order)] == [ERASURES_MAX, 1]


STEPS = st.lists(
    st.tuples(st.sampled_from(["event", "event", "erase", "forget"]), st.sampled_from("abc")),
    max_size=12,
)


@given(STEPS, STEPS, st.integers(1, 3))
def test_nothing_is_lost_turned_round_or_erased_before_it_was_there(
    one: list[tuple[str, str]], other: list[tuple[str, str]], gap: int
) -> None:
    batches = [_batch(0, one, gap), _batch(1, other, gap)]
    at = {0: 1, 1: 1}
    done: dict[int, list[Any]] = {0: [], 1: []}
    for unit in units(batches, _order):
        assert unit.batches
        for batch in unit.batches:
            assert batch.base == at[batch.partition]
            assert all(batch.base <= record.offset < batch.until for record in batch.records)
            at[batch.partition] = batch.until
            done[batch.partition] += batch.records
            erased: set[bytes] = set()
            for record in batch.records:
                place = (record.partition, record.offset)
                assert (place in unit.erasures) == isinstance(record.order, Erase)
                if record.order is None:
                    assert record.value not in erased
                elif isinstance(record.order, Forget):
                    assert unit.forget is record.order
                    assert (len(unit.batches), len(batch.records)) == (1, 1)
                else:
                    erased.add(record.value)
    assert {0: batches[0].until, 1: batches[1].until} == at
    assert [done[0], done[1]] == [list(batch.records) for batch in batches]
