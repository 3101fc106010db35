"""Named queries."""

from pathlib import Path

import pytest

from infra.sql import load_queries


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "some.sql"
    file.write_text(
        "-- The first.\n-- name: one\nSELECT 1 FROM {schema}.a;\n\n"
        "-- The second;\n-- of two.\n-- name: two\nSELECT -- all\n2;\n"
    )
    return file


def test_each_query_is_an_attribute_without_its_semicolon(path: Path) -> None:
    found = load_queries(path, schema="g7")
    assert (found.one, found.two) == ("SELECT 1 FROM g7.a", "SELECT -- all\n2")


def test_a_query_that_is_not_there_is_named_with_its_file(path: Path) -> None:
    found = load_queries(path)
    with pytest.raises(AttributeError, match=r"some\.sql has no query three"):
        found.three  # noqa: B018 # reading it is the test


def test_queries_of_several_files_are_used_as_one(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.sql"
    other.write_text("-- One more.\n-- name: three\nSELECT 3 FROM {schema}.b;\n")
    found = load_queries(path, other, schema="g7")
    assert (found.one, found.three) == ("SELECT 1 FROM g7.a", "SELECT 3 FROM g7.b")
    with pytest.raises(AttributeError, match=r"some\.sql and other\.sql has no query four"):
        found.four  # noqa: B018 # reading it is the test
