"""The kernel against its twin in NumPy: the same to the last bit, for any text."""

import importlib.util
import sys
import threading
import time
from collections.abc import Iterator
from importlib import resources

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import Analyser, default_model
from analysis.kernel import TEXTS_MAX, WASM, Kernel, open_kernel
from analysis.kernel.compare import differing, main
from analysis.reading import Reading, read
from analysis.text import SCANNED_MAX
from analysis.training.sayings import default_sayings
from tests.analysis.hostile import HOSTILE

needs_wasmtime = pytest.mark.skipif(
    importlib.util.find_spec("wasmtime") is None, reason="wasmtime is not installed"
)
PIECES = st.sampled_from(
    [
        *(
            "not",
            "nicht",
            "pas",
            "good",
            "don't",
            "don’t",
            "SOOO",
            "sooo",
            "LOUD WORDS",
            "!!!!",
            "?",
        ),
        *("😀", "😀😀😀😀", "❤️", "1️⃣", "ñandú", "e\u0301", "不", "喜欢", "ですね", "สวย", "привет"),
        *("їжак", "مش", "پچ", "ٹھیک", "http", "@user", "http://x.y/z", "a.com", "@me", "\u200b"),
        *("\ud800", "\U000e0067", "\U0010ffff", "\n", "\t", "'", "''", "＇", "a" * 70, "ab" * 90),
    ]
)
TEXTS = st.lists(PIECES | st.text(st.characters(), max_size=12), max_size=12).map(
    " ".join
) | st.lists(PIECES, max_size=12).map("".join)


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    opened = open_kernel(default_model())
    assert opened is not None
    yield opened


def same(one: Reading | None, other: Reading) -> bool:
    assert one is not None
    arrays = all(
        np.array_equal(left, right) for left, right in zip(one[:-1], other[:-1], strict=True)
    )
    laid = one.laid.bare == other.laid.bare
    laid &= np.array_equal(one.laid.codes, other.laid.codes)
    return arrays and laid and np.array_equal(one.laid.bounds, other.laid.bounds)


@needs_wasmtime
@given(st.lists(TEXTS, min_size=1, max_size=8))
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_texts_are_read_alike_to_the_last_bit(kernel: Kernel, texts: list[str]) -> None:
    assert same(kernel.read(texts), read(default_model(), texts))


@needs_wasmtime
def test_the_hostile_corpus_and_all_sayings_are_read_alike() -> None:
    texts = [*HOSTILE, *(example.text for _, example in default_sayings())]
    texts += [text.upper() + "!!" for text in texts[::3]]
    texts += [f"{text} 😂 {text}" for text in texts[::2]]
    model = default_model()
    found, _ = differing(Analyser(model), Analyser(model, kernel=False), texts)
    assert found == []


@needs_wasmtime
@pytest.mark.parametrize(
    "unit", ["不", "a ", "not ", "!?", "@a ", "😀", "e\u0301", "漢", "\u200b", "''"]
)
def test_the_longest_text_is_read_alike_in_bounded_time(kernel: Kernel, unit: str) -> None:
    text = (unit * SCANNED_MAX)[: SCANNED_MAX + 5]
    started = time.process_time()
    found = kernel.read([text, "after"])
    assert time.process_time() - started < 0.5
    assert same(found, read(default_model(), [text, "after"]))


@needs_wasmtime
def test_more_than_the_sandbox_holds_is_left_to_numpy(kernel: Kernel) -> None:
    assert kernel.read(["x"] * (TEXTS_MAX + 1)) is None
    assert kernel.read(["x" * SCANNED_MAX] * 100) is None
    assert kernel.read([]) is not None


@needs_wasmtime
def test_threads_take_turns(kernel: Kernel) -> None:
    texts = [example.text for _, example in default_sayings()][:200]
    expected = read(default_model(), texts)
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(same(kernel.read(texts), expected)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4


def test_without_wasmtime_numpy_gives_the_same_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["I love you 😍", "not good", "", "devuélveme mi dinero"]
    expected = Analyser(default_model()).analyse(texts)
    monkeypatch.setitem(sys.modules, "wasmtime", None)
    assert open_kernel(default_model()) is None
    assert Analyser(default_model()).analyse(texts) == expected


def test_the_module_is_small() -> None:
    assert len(resources.files("analysis.kernel").joinpath(WASM).read_bytes()) < 20_000


def test_the_committed_module_is_what_the_source_compiles_to() -> None:
    pytest.importorskip("ziglang")
    from analysis.kernel.build import compiled

    assert compiled() == resources.files("analysis.kernel").joinpath(WASM).read_bytes()


@needs_wasmtime
def test_the_command_counts_the_texts_that_differ(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path_factory.mktemp("compare") / "some.tsv"
    path.write_text("text\tlabel\tlang\tsource\nI love it\t2\ten\ts\nno me gusta\t0\tes\ts\n")
    assert main([str(path)]) == 0
    assert capsys.readouterr().out.startswith("2 texts, 0 differ")
