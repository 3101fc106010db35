"""Training of the small network by AdaGrad over sparse rows, in NumPy alone.

The network: x are a text's features (each occurrence counts one), n their number,

    units = tanh(scale / sqrt(n) * x E + c),   logits = units V + b      (sentiment, emotion)
    logits = scale / sqrt(n) * x L + d                                   (language)

L only has rows for words and their letters: emoji, marks and word order would rather teach what
each language's corpus happened to be about.
Each task has its own softmax; a text without a task's label does not move that task. Every
random number comes from one seeded generator and nothing runs in threads, so equal input gives
equal bytes on one machine.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Columns = NDArray[np.int32]

SCALE = 10.0
"""Rows have about a hundred features, so this makes x of unit size."""
_EPSILON = 1e-8
_SMALL_EPSILON = 1e-4
_HEAD_RATE = 0.02


class Rows(NamedTuple):
    """Texts as lists of feature columns: row i is `columns[starts[i]:starts[i + 1]]`."""

    columns: Columns
    starts: Integers
    sizes: Floats
    """Features of each text, unknown ones too."""
    weights: Floats
    """Per column: how strongly its group counts."""
    spelling: NDArray[np.bool_]
    """Per column: whether it may speak for a language."""


class Task(NamedTuple):
    """What one softmax learns."""

    targets: Floats
    """(texts, labels), rows sum to 1."""
    importance: Floats
    """Per text; 0 where it has no label."""
    pooled: tuple[list[int], NDArray[np.bool_]] | None = None
    """Labels that some texts' annotators did not tell apart, and which texts these are: there
    only the labels' sum is taught, shared out as the network itself would."""


class Plan(NamedTuple):
    """The settings of one training."""

    units: int
    epochs: int
    batch: int
    rate: float
    dropout: float
    """Share of units silenced in each step."""
    seed: int


class Network(NamedTuple):
    embedding: Floats
    """(columns, units + languages)."""
    offsets: Floats
    heads: Floats
    biases: Floats


class _Step(NamedTuple):
    """One mini-batch, prepared once: which texts, and its columns in both orders."""

    texts: Integers
    local: Columns
    """Each entry's place in `used`, text by text."""
    starts: Integers
    by_column: Columns
    """Place in `texts` of each entry, sorted by column."""
    column_starts: Integers
    used: Columns
    """The distinct columns."""


def softmax(logits: Floats) -> Floats:
    """Row by row."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: Floats = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def product(left: Floats, right: Floats) -> Floats:
    """Matrix product by NumPy's own loops: no BLAS, so no threads and one order of addition."""
    product: Floats = np.einsum("ij,jk->ik", left, right, optimize=False)
    return product


def _entries(rows: Rows, texts: Integers) -> tuple[Columns, Integers]:
    """The columns of the given texts one after another, and where each text starts."""
    begins = rows.starts[texts]
    sizes = rows.starts[texts + 1] - begins
    starts = np.cumsum(sizes) - sizes
    places = np.arange(int(sizes.sum())) + np.repeat(begins - starts, sizes)
    return rows.columns[places], starts


def _steps(rows: Rows, order: Integers, batch: int) -> Iterator[_Step]:
    for first in range(0, len(order), batch):
        texts = np.sort(order[first : first + batch])
        columns, starts = _entries(rows, texts)
        sizes = np.diff(np.append(starts, len(columns)))
        owners = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)
        sorted_places = np.argsort(columns, kind="stable")
        ordered = columns[sorted_places]
        fresh = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        local = np.empty(len(columns), np.int32)
        ranks = np.zeros(len(columns), np.int32)
        ranks[fresh[1:]] = 1
        local[sorted_places] = np.cumsum(ranks, dtype=np.int32)
        yield _Step(texts, local, starts, owners[sorted_places], fresh, ordered[fresh])


def _row_sums(values: Floats, columns: Columns, starts: Integers) -> Floats:
    """Every text has at least its begin and its end, so no segment is empty."""
    sums: Floats = np.add.reduceat(values.take(columns, axis=0), starts, axis=0)
    return sums


def _text_scale(rows: Rows, texts: Integers) -> Floats:
    scale = np.float32(SCALE) / np.sqrt(rows.sizes[texts])
    return scale.astype(np.float32, copy=False)[:, None]


def train(
    rows: Rows,
    texts: Integers,
    tasks: Sequence[Task],
    language: Task,
    plan: Plan,
    tick: Callable[[int, int], None],
) -> Network:
    """Fit the network to `texts`; `tick(done, total)` is called after each step."""
    random = np.random.default_rng(plan.seed)
    labels = [task.targets.shape[1] for task in tasks]
    languages = language.targets.shape[1]
    width = plan.units + languages
    columns = len(rows.weights)

    embedding = np.zeros((columns, width), np.float32)
    embedding[:, : plan.units] = random.standard_normal((columns, plan.units), np.float32) * 0.02
    heads = random.standard_normal((plan.units, sum(labels)), np.float32)
    heads /= np.float32(np.sqrt(plan.units))
    offsets = np.zeros(width, np.float32)
    biases = np.zeros(sum(labels), np.float32)
    squares = np.full((columns, width), _EPSILON, np.float32)
    small = {
        name: (value, np.full(value.shape, _SMALL_EPSILON, np.float32))
        for name, value in (("heads", heads), ("offsets", offsets), ("biases", biases))
    }

    steps = list(_steps(rows, random.permutation(texts), plan.batch))
    total = plan.epochs * len(steps)
    done = 0
    for _ in range(plan.epochs):
        for number in random.permutation(len(steps)).tolist():
            step = steps[number]
            rate = np.float32(plan.rate * (1.0 - 0.95 * done / total))
            decay = np.float32(_HEAD_RATE * (1.0 - 0.95 * done / total))
            scale = _text_scale(rows, step.texts)
            used = step.used
            # Work on the step's own columns: a compact copy is gathered faster than the whole.
            weighted = embedding[used] * rows.weights[used, None]
            sums = _row_sums(weighted, step.local, step.starts) * scale + offsets

            hidden = np.tanh(sums[:, : plan.units])
            kept = (random.random(hidden.shape, np.float32) >= plan.dropout) / np.float32(
                1.0 - plan.dropout
            )
            logits = product(hidden * kept, heads) + biases
            errors = np.empty_like(logits)
            first = 0
            for task, size in zip(tasks, labels, strict=True):
                part = slice(first, first + size)
                errors[:, part] = _error(task, step.texts, logits[:, part])
                first += size
            slopes = np.empty_like(sums)
            slopes[:, : plan.units] = product(errors, heads.T) * kept * (1.0 - hidden * hidden)
            slopes[:, plan.units :] = _error(language, step.texts, sums[:, plan.units :])

            scaled = slopes * scale
            gradient = np.add.reduceat(
                scaled.take(step.by_column, axis=0), step.column_starts, axis=0
            )
            gradient *= rows.weights[used, None]
            gradient[:, plan.units :] *= rows.spelling[used, None]
            square = squares[used] + gradient * gradient
            squares[used] = square
            embedding[used] -= rate * gradient / np.sqrt(square)
            for name, slope in (
                ("heads", product((hidden * kept).T, errors)),
                ("offsets", slopes.sum(axis=0)),
                ("biases", errors.sum(axis=0)),
            ):
                value, seen = small[name]
                seen += slope * slope
                value -= decay * slope / np.sqrt(seen)
            done += 1
            tick(done, total)
    return Network(embedding, offsets, heads, biases)


def _error(task: Task, texts: Integers, logits: Floats) -> Floats:
    """Slope of the mean cross-entropy towards the logits."""
    errors: Floats = softmax(logits)
    targets = task.targets[texts]
    if task.pooled is not None:
        labels, blurred = task.pooled
        rows = np.flatnonzero(blurred[texts])
        block = np.ix_(rows, np.array(labels))
        targets[block] = softmax(logits[block]) * targets[block].sum(axis=1, keepdims=True)
    errors -= targets
    errors *= task.importance[texts, None] / np.float32(len(texts))
    return errors
