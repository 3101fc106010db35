"""The reader of texts as one WebAssembly module: the fast twin of `reading.read`.

`kernel.c` is compiled at development time (`build`), and `kernel.wasm` is committed, so that a
user needs no compiler: `wasmtime` runs it, in a sandbox that holds nothing but the tables given
here. Where wasmtime is absent, or cannot run here, `open_kernel` gives None and NumPy reads.
"""

import atexit
import threading
import weakref
from collections.abc import Sequence
from importlib import resources
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.characters import LIMIT, MARK, tables
from analysis.features import negator_table, shape_lengths
from analysis.language import (
    FEW_LETTERS_DOUBT,
    LANGUAGES_BY_SCRIPT,
    RARE,
    RARE_SHARE_MIN,
    SCRIPT_SHARE_MIN,
    script_table,
)
from analysis.lexicon import Laid
from analysis.model import EXP, TANH, Model, bucket_starts, bucket_words
from analysis.reading import Reading
from analysis.text import (
    APOSTROPHES,
    CLOSING,
    EMOJI_STYLES,
    END,
    clean,
)

WASM: Final = "kernel.wasm"
TEXTS_MAX: Final = 512
CODES_MAX: Final = 520_000
"""A chunk of `analyser` has 200,000 code points; a mention `@a` grows to `@user`."""
_PAGE: Final = 65_536
_STRIDE: Final = 64
"""Bytes of a row of weights are a multiple of this: one line of the processor's cache each."""
_SLOTS: Final = 1024
_FACTS: Final = 4
_CAPITALISED, _PUNCTUATED, _CASED, _PICTURED = 1, 2, 4, 8
_FLAG_CASED, _FLAG_UPPER, _FLAG_END, _FLAG_CLOSE, _FLAG_QUOTE, _FLAG_STYLE = 1, 2, 4, 8, 16, 32
_COLUMNS_MAX: Final = 96
_UNITS_MAX: Final = 64
_LABELS_MAX: Final = 32

_CHARACTER: Final = np.dtype(
    [
        ("fold", "<u4"),
        ("bare", "<u4"),
        ("kind", "u1"),
        ("flags", "u1"),
        ("script", "u1"),
        ("_", "u1"),
    ]
)
_NEGATOR: Final = np.dtype(
    [
        ("hash", "<u8"),
        ("after", "u1"),
        ("before", "u1"),
        ("either", "u1"),
        ("used", "u1"),
        ("_", "<u4"),
    ]
)
_WORDS: Final = (
    "characters buckets starts weights stride scales offsets heads biases shifts tanhs exps"
    " negators lengths of_model units sentiments emotions languages columns input input_bounds"
    " bare codes bounds scores facts texts_max codes_max scripts script_zh script_ja rare_count"
)
_SHARES: Final = "language_sure few_letters_doubt script_share_min rare_share_min"
_PLAN: Final = np.dtype(
    [(name, "<u4") for name in _WORDS.split()]
    + [("rare", "<u4", 8), ("rare_host", "<u4", 8), ("script_code", "<u4", 64)]
    + [(name, "<f8") for name in _SHARES.split()],
    align=True,
)
"""`struct Plan` of kernel.c."""


class Kernel:
    """A model in the sandbox. One text chunk at a time; safe to share between threads."""

    def __init__(self, model: Model) -> None:
        import wasmtime

        settings = wasmtime.Config()
        settings.wasm_simd = True
        engine = wasmtime.Engine(settings)
        module = wasmtime.Module(engine, resources.files(__package__).joinpath(WASM).read_bytes())
        self._store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        self._read: Any = exports["read"]
        self._lock = threading.Lock()
        self._opened = (self._store, module, engine)
        atexit.register(_close, weakref.ref(self))
        self._labels = (len(model.header.sentiments), len(model.header.emotions))
        memory: Any = exports["memory"]
        plan, blocks = _planned(model, int(memory.data_len(self._store)))
        end = max(offset + size for offset, size, _ in blocks)
        memory.grow(self._store, max(-(-(end - memory.data_len(self._store)) // _PAGE), 0))
        address: Any = memory.data_ptr(self._store)
        self._memory = np.ctypeslib.as_array(address, shape=(memory.data_len(self._store),))
        for offset, size, content in blocks:
            if content is not None:
                self._memory[offset : offset + size] = np.frombuffer(content, np.uint8)
        where: Any = exports["plan"]
        bytes_of: Any = exports["plan_bytes"]
        begin: Any = exports["start"]
        if bytes_of(self._store) != _PLAN.itemsize:
            raise ValueError("kernel: its plan is another")
        first = where(self._store)
        self._memory[first : first + _PLAN.itemsize] = np.frombuffer(plan.tobytes(), np.uint8)
        begin(self._store)
        texts = TEXTS_MAX
        self._input = self._view(plan["input"], np.uint32, CODES_MAX)
        self._edges = self._view(plan["input_bounds"], np.uint32, texts + 1)
        self._bare = self._view(plan["bare"], np.uint32, CODES_MAX)
        self._codes = self._view(plan["codes"], np.uint32, CODES_MAX)
        self._bounds = self._view(plan["bounds"], np.uint32, texts + 1)
        self._scores = self._view(plan["scores"], np.float64, texts * sum(self._labels))
        self._facts = self._view(plan["facts"], np.int32, texts * _FACTS)

    def _view(self, offset: Any, kind: Any, count: int) -> NDArray[Any]:
        first = int(offset)
        return self._memory[first : first + count * np.dtype(kind).itemsize].view(kind)

    def read(self, texts: Sequence[str]) -> Reading | None:
        """The texts' reading; None if they are more than the sandbox has room for."""
        cleaned = clean(texts)
        count, size = len(texts), len(cleaned.joined)
        if count > TEXTS_MAX or size > CODES_MAX:
            return None
        points = cleaned.joined.encode("utf-32-le", "surrogatepass")
        sentiments, emotions = self._labels
        with self._lock:
            self._input[:size] = np.frombuffer(points, np.uint32)
            self._edges[: count + 1] = cleaned.bounds
            if failed := self._read(self._store, count):
                raise ValueError(f"kernel: text {failed - 1} of the batch does not fit")
            bounds = self._bounds[: count + 1].astype(np.int64)
            last = int(bounds[-1])
            bare = self._bare[:last].tobytes()
            codes = self._codes[:last].copy()
            scores = self._scores[: count * (sentiments + emotions)].copy()
            facts = self._facts[: count * _FACTS].reshape(count, _FACTS).T.astype(np.int64)
        table = scores.reshape(count, sentiments + emotions)
        languages, tokens, words, seen = facts
        return Reading(
            table[:, :sentiments],
            table[:, sentiments:],
            languages,
            tokens,
            words,
            (seen & _CAPITALISED) != 0,
            (seen & _PUNCTUATED) != 0,
            (seen & _CASED) != 0,
            (seen & _PICTURED) != 0,
            cleaned.links,
            cleaned.gifs,
            Laid(bare.decode("utf-32-le", "replace"), codes, bounds),
        )


def _close(kernel: "weakref.ref[Kernel]") -> None:
    """Free what wasmtime holds while it still can: at exit its own functions are gone first."""
    if living := kernel():
        for part in living._opened:
            part.close()


Block = tuple[int, int, bytes | None]
"""Offset, size and content of a part of the sandbox's memory; None: written by the kernel."""


def _planned(model: Model, start: int) -> tuple[Any, list[Block]]:
    """Where everything lies behind the module's own memory of `start` bytes."""
    header, artefact = model.header, model.artefact
    columns = artefact.weights.shape[1]
    labels = len(header.sentiments) + len(header.emotions)
    if (
        columns > _COLUMNS_MAX
        or header.units > _UNITS_MAX
        or max(labels, len(header.languages)) > _LABELS_MAX
    ):
        raise ValueError("kernel: the model is too wide")
    stride = -(-columns // _STRIDE) * _STRIDE
    weights = np.zeros((header.rows, stride), np.int8)
    weights[:, :columns] = artefact.weights
    index = {code: place for place, code in enumerate(model.codes)}
    counts, fingerprints = artefact.counts, artefact.fingerprints
    starts = bucket_starts(counts)
    parts: dict[str, bytes | int] = {
        "characters": _characters().tobytes(),
        "buckets": bucket_words(counts, starts, fingerprints).tobytes(),
        "starts": starts.astype(np.uint32).tobytes(),
        "weights": weights.tobytes(),
        "scales": model.scales.tobytes(),
        "offsets": model.offsets.tobytes(),
        "heads": model.heads.tobytes(),
        "biases": model.biases.tobytes(),
        "shifts": model.shifts.tobytes(),
        "tanhs": TANH.astype(np.int32).tobytes(),
        "exps": EXP.astype(np.int32).tobytes(),
        "negators": _negators().tobytes(),
        "lengths": shape_lengths(np.arange(256)).astype(np.uint8).tobytes(),
        "of_model": np.array([index[name] for name in header.languages], np.uint32).tobytes(),
        "input": 4 * CODES_MAX,
        "input_bounds": 4 * (TEXTS_MAX + 1),
        "bare": 4 * CODES_MAX,
        "codes": 4 * CODES_MAX,
        "bounds": 4 * (TEXTS_MAX + 1),
        "scores": 8 * TEXTS_MAX * labels,
        "facts": 4 * TEXTS_MAX * _FACTS,
    }
    plan = np.zeros((), _PLAN)
    blocks: list[Block] = []
    offset = start
    for name, content in parts.items():
        offset = -(-offset // 64) * 64
        size = content if isinstance(content, int) else len(content)
        blocks.append((offset, size, None if isinstance(content, int) else content))
        plan[name] = offset
        offset += size
    scripts = {name: place for place, name in enumerate(LANGUAGES_BY_SCRIPT)}
    rare = [scripts[name] for name in RARE]
    plan["stride"] = stride
    plan["units"], plan["columns"] = header.units, columns
    plan["sentiments"], plan["emotions"] = len(header.sentiments), len(header.emotions)
    plan["languages"] = len(header.languages)
    plan["texts_max"], plan["codes_max"] = TEXTS_MAX, CODES_MAX
    plan["scripts"], plan["rare_count"] = len(scripts), len(rare)
    plan["script_zh"], plan["script_ja"] = scripts["zh"], scripts["ja"]
    plan["rare"][: len(rare)] = rare
    plan["rare_host"][: len(rare)] = [scripts[host] for host, _ in RARE.values()]
    plan["script_code"][: len(scripts)] = [index[name] for name in scripts]
    plan["language_sure"], plan["few_letters_doubt"] = header.language_sure, FEW_LETTERS_DOUBT
    plan["script_share_min"], plan["rare_share_min"] = SCRIPT_SHARE_MIN, RARE_SHARE_MIN
    return plan, blocks


def _characters() -> NDArray[Any]:
    known = tables()
    table = np.zeros(LIMIT + 1, _CHARACTER)
    table["fold"], table["bare"], table["kind"] = known.fold, known.bare, known.kind
    table["script"] = script_table()
    flags = known.cased * np.uint8(_FLAG_CASED) + known.upper * np.uint8(_FLAG_UPPER)
    for codes, flag in ((END, _FLAG_END), (CLOSING, _FLAG_CLOSE), (EMOJI_STYLES, _FLAG_STYLE)):
        flags[np.array(codes)] |= np.uint8(flag)
    quotes = np.isin(known.fold, APOSTROPHES) & (known.kind == MARK)
    flags[quotes] |= np.uint8(_FLAG_QUOTE)
    table["flags"] = flags
    return table


def _negators() -> NDArray[Any]:
    """An open hash table by the top 10 bits; under a third full, so a search ends soon."""
    known = negator_table()
    table = np.zeros(_SLOTS, _NEGATOR)
    for hashed, after, before, either in zip(*(part.tolist() for part in known), strict=True):
        slot = hashed >> 54
        while table[slot]["used"]:
            slot = (slot + 1) % _SLOTS
        table[slot] = (hashed, after, before, either, 1, 0)
    return table


def open_kernel(model: Model) -> Kernel | None:
    """The model's kernel; None where wasmtime is absent or has no compiler for this machine."""
    try:
        import wasmtime
    except (ImportError, OSError):
        return None
    try:
        return Kernel(model)
    except wasmtime.WasmtimeError:
        return None
