"""Reading labelled texts."""

import lzma
from pathlib import Path

import pytest

from analysis.training.corpus import data_files, read_table
from schemas.errors import InvalidInput

HEADER = "text\tlabel\tlang\tsource\ttier\n"


def test_labels_tell_the_task(tmp_path: Path) -> None:
    path = tmp_path / "some.tsv"
    path.write_text(
        HEADER + '"quoted" text\t0\ten\ts\tA\nx\tpositive\ten\ts\tA\ny\tjoy|love\ten\ts\tA\n'
    )
    first, second, third = read_table(path)
    assert (first.text, first.sentiment, first.emotions) == ('"quoted" text', 0, None)
    assert second.sentiment == 2
    assert (third.sentiment, third.emotions) == (None, {"joy", "love"})


def test_neutral_is_a_sentiment_beside_other_sentiments(tmp_path: Path) -> None:
    path = tmp_path / "some.tsv"
    path.write_text(HEADER + "x\tneutral\ten\ts\ny\tnegative\ten\ts\n")
    assert [example.sentiment for example in read_table(path)] == [1, 0]
    path.write_text(HEADER + "x\tneutral\ten\ts\ny\tanger\ten\ts\n")
    assert [example.emotions for example in read_table(path)] == [{"neutral"}, {"anger"}]


def test_a_compressed_table_reads_like_a_plain_one(tmp_path: Path) -> None:
    content = (HEADER + "a\u2028b\t1\tde\ts\tB\n").encode()
    (tmp_path / "a.tsv").write_bytes(content)
    (tmp_path / "a.tsv.xz").write_bytes(lzma.compress(content))
    assert list(read_table(tmp_path / "a.tsv")) == list(read_table(tmp_path / "a.tsv.xz"))


CHAT_HEADER = "text\tsentiment\temotion\tlang\tsource\ttier\n"


def test_a_chat_table_has_both_labels(tmp_path: Path) -> None:
    path = tmp_path / "chat.tsv"
    path.write_text(CHAT_HEADER + "go away\t0\tanger\ten\ts\tA\nhm\t1\t\tar\ts\tA\n")
    first, second = read_table(path, held_out=True)
    assert (first.sentiment, first.emotions, first.language) == (0, {"anger"}, "en")
    assert (second.sentiment, second.emotions) == (1, None)
    assert first.held_out


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ("", "file"),
        ("label\ttext\n", "file"),
        (HEADER + "x\t1\n", "line 2"),
        (HEADER + "x\t1\ten\ts\nx\t7\ten\ts\n", "line 3"),
        (HEADER + "x\tjoy|rage\ten\ts\n", "line 2"),
        (CHAT_HEADER + "x\t5\tjoy\ten\ts\n", "line 2"),
        (CHAT_HEADER + "x\t0\trage\ten\ts\n", "line 2"),
        (CHAT_HEADER + "x\t0\n", "line 2"),
    ],
)
def test_a_wrong_table_is_refused_with_its_line(tmp_path: Path, content: str, place: str) -> None:
    path = tmp_path / "wrong.tsv"
    path.write_text(content)
    with pytest.raises(InvalidInput, match=place):
        list(read_table(path))


def test_a_folder_without_the_tables_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"sentiment_train\.tsv\.xz"):
        data_files(tmp_path)
