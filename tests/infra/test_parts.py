"""Parts of many things, cut by their sizes."""

from hypothesis import given
from hypothesis import strategies as st

from infra.parts import bounded


@given(st.lists(st.integers(0, 30), max_size=20))
def test_what_is_done_at_once_is_bounded_and_nobody_is_left_out(sizes: list[int]) -> None:
    sized = [(("c", str(place)), size) for place, size in enumerate(sizes)]
    parts = list(bounded(sized, 20))
    assert [who for part in parts for who in part] == [who for who, _ in sized]
    known = dict(sized)
    assert all(len(part) == 1 or sum(known[who] for who in part) <= 20 for part in parts)
    assert len(parts) <= 1 + sum(sizes) * 2 // 20
