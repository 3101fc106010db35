"""Which row of the table answers, and what its query says: pure."""

from urllib.parse import parse_qsl

from hypothesis import example, given
from hypothesis import strategies as st

from api.endpoints import Endpoint
from api.health import live, ready
from api.parameters import read_query
from api.routes import NO_METHODS, Routes

THING = Endpoint("/things/{id}", "GET", live, "thing")
ROUTES = Routes(
    [
        Endpoint("/things", "GET", live, "things"),
        Endpoint("/things", "POST", ready, "make"),
        Endpoint("/things/new", "GET", live, "new"),
        THING,
    ]
)


def names(path: str) -> dict[str, str]:
    return {method: one.name for method, one in ROUTES.find(path)[0].items()}


def test_a_path_has_the_methods_of_its_rows_and_head_where_it_has_get() -> None:
    assert names("/things") == {"GET": "things", "HEAD": "things", "POST": "make"}


def test_a_part_in_braces_matches_one_part_that_is_not_empty() -> None:
    assert ROUTES.find("/things/a-1") == ({"GET": THING, "HEAD": THING}, {"id": "a-1"})
    for path in ("/things/", "/things/a/b", "/things/a/", "//things/a", "/nothing", ""):
        assert ROUTES.find(path)[0] is NO_METHODS


def test_a_whole_path_wins_over_one_with_braces() -> None:
    assert names("/things/new") == {"GET": "new", "HEAD": "new"}


@given(st.binary() | st.text("ab=&+%;0Fé").map(str.encode))
@example(b"fanId=a%2Bb+c&creatorId=%C3%A9&=x&y&&z=1=2")
def test_a_query_is_read_as_forms_write_it(raw: bytes) -> None:
    expected: dict[str, str | None] = {}
    for name, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        expected[name] = None if name in expected else value
    assert read_query(raw) == expected


def test_an_events_id_is_all_that_is_left_of_the_path() -> None:
    routes = Routes([Endpoint("/events/{eventId}", "GET", live, "event")])
    for id in ("e", "a/b", "a\nb", "\n", "a\n", "\u2028", "/"):
        found, parts = routes.find(f"/events/{id}")
        assert found["GET"].name == "event"
        assert parts == {"eventId": id}
