"""The ring: what a client has missed, told once and whole, or not at all."""

from hypothesis import given
from hypothesis import strategies as st

from api.stream_ring import Place, Ring, Update, begins_of, parse_place

CREATORS = ("a", "b")


def record(partition: int, offset: int, creator: str = "a", fan: str = "f") -> Update:
    return Update(partition, offset, 1_000 + offset, creator, fan, b"%d:%d" % (partition, offset))


@given(
    st.lists(st.integers(0, 2**59), min_size=1, max_size=300),
    st.none() | st.tuples(st.integers(0, 255), st.integers(0, 2**43)),
)
def test_a_place_is_what_its_text_says(offsets: list[int], mark: tuple[int, int] | None) -> None:
    place = Place(tuple(offsets), mark)
    assert parse_place(str(place)) == place


def test_anything_else_is_no_place() -> None:
    for text in (
        "",
        "-",
        "x",
        "0-1",
        "-1.",
        "-1..2",
        "1.2-",
        "0.1-g",
        "-" + "1." * 2_000,
        "-1\n",
        "é",
    ):
        assert parse_place(text) is None


logs = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(CREATORS)), max_size=60)


def _ring(order: list[Update], partitions: int = 3) -> Ring:
    ring = Ring([0] * partitions)
    for one in order:
        ring.add(one)
    return ring


@given(logs, st.randoms(use_true_random=False), st.integers(0, 60), st.integers(0, 60))
def test_from_process_to_process_each_update_comes_once(log, random, first, second) -> None:  # type: ignore[no-untyped-def]
    """Two processes read the partitions in different orders; the client changes in between."""
    counts = [0, 0, 0]
    records = []
    for partition, creator in log:
        records.append(record(partition, counts[partition], creator))
        counts[partition] += 1
    queues = [[one for one in records if one.partition == p] for p in range(3)]
    order = []
    while any(queues):
        order.append(random.choice([queue for queue in queues if queue]).pop(0))

    had = [one.event for one in records[:first] if one.creator_id == "a"]
    place = _ring(records[:first]).place
    missed = _ring(order).after(place, "a", None)
    assert missed is not None
    kept = missed[:second]
    had += [event for _, event in kept]
    if kept:
        place = kept[-1][0]
    rest = _ring(records).after(place, "a", None)
    assert rest is not None
    had += [event for _, event in rest]
    assert sorted(had) == sorted(one.event for one in records if one.creator_id == "a")


def test_what_has_left_the_ring_is_not_told_in_part() -> None:
    ring = Ring([0, 0], size=4)
    places = []
    for offset in range(6):
        ring.add(record(0, offset))
        places.append(ring.place)
    assert [ring.after(place, "a", None) is None for place in places] == [True] * 2 + [False] * 4
    missed = ring.after(places[2], "a", None)
    assert missed is not None
    assert [event for _, event in missed] == [b"0:3", b"0:4", b"0:5"]


def test_other_creators_and_other_fans_are_left_out() -> None:
    ring = _ring([record(0, 0), record(0, 1, "b"), record(0, 2, "a", "g"), record(1, 0, "b")])
    begin = Place((0, 0, 0), None)
    assert [e for _, e in ring.after(begin, "a", None) or ()] == [b"0:0", b"0:2"]
    assert [e for _, e in ring.after(begin, "a", "g") or ()] == [b"0:2"]
    assert ring.after(begin, "c", None) == []


def test_the_place_of_another_log_is_not_known() -> None:
    ring = _ring([record(0, n) for n in range(5)])
    assert ring.after(Place((3, 0, 0), (0, 1_002)), "a", None) is not None
    for place in (
        Place((3, 0, 0), (0, 1_999)),  # another record was there
        Place((3, 0, 0), (1, 1_002)),
        Place((3, 0, 0), (7, 1_002)),
        Place((3, 0, 0), None),
        Place((6, 0, 0), (0, 1_005)),  # beyond the end
        Place((3, 0, 0, 0), (0, 1_002)),  # there were more partitions
    ):
        assert ring.after(place, "a", None) is None


def test_new_partitions_are_all_new() -> None:
    ring = _ring([record(0, 0)], partitions=1)
    place = ring.place
    ring.grow(3)
    ring.add(record(2, 0))
    missed = ring.after(place, "a", None)
    assert missed is not None
    assert [event for _, event in missed] == [b"2:0"]


def test_what_is_no_update_has_a_place_only() -> None:
    ring = _ring([record(0, 0), Update(0, 1, 5, "", "", b"")])
    assert ring.after(ring.place, "a", None) == []
    assert ring.after(Place((1, 0, 0), (0, 1_000)), "", None) == []


def test_a_ring_begins_full_and_not_before_the_log_does() -> None:
    assert begins_of({0: 0, 1: 90, 2: 0}, {0: 1_000, 1: 100, 2: 5}, 300) == [900, 90, 0]
