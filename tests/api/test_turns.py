"""The loop is given away after as much work, whether it is many values or a large one."""

from api.turns import SIZE, VALUES, Turns


def test_many_small_values_and_one_large_one_end_a_turn() -> None:
    turns = Turns()
    small, large = b"x" * 100, b"x" * SIZE
    for _ in range(3):
        assert [turns.over(small) for _ in range(VALUES)] == [False] * (VALUES - 1) + [True]
        assert turns.over(large)
        assert not turns.over(small)
        assert turns.over(large)
    half = b"x" * (SIZE // 2)
    assert [turns.over(half) for _ in range(4)] == [False, True, False, True]
