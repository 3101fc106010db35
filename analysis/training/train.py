"""`fanmemory train`: from a folder of labelled texts to one model file.

1. Hash every text's features; count them in 2^25 buckets and keep those of 3 texts or more.
2. Train a first network on these, and keep the features that move its heads most.
3. Train the final network on exactly the features that the artefact will hold, found by the very
   lookup of `model.Table`, with the concepts' shared features beside them.
4. Fold the concepts in, round to small integers, and choose biases, thresholds and temperature
   on the development sets with the rounded model.

Seeded and single-threaded: two runs on one machine give the same bytes.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from analysis import features
from analysis.artefact import Artefact, Header
from analysis.training.columns import Links, Tick, choose, count, hash_texts, known
from analysis.training.concepts import concept_hashes, default_concepts
from analysis.training.corpus import EMOTIONS, SENTIMENTS, data_files, digests
from analysis.training.labels import LANGUAGES, rarity, tasks_of, texts_of
from analysis.training.optimise import SCALE, Floats, Network, Plan, Rows, product, train
from analysis.training.tune import Labelled, tuned

_WEIGHT_MAX: Final = 63
"""7 bits a weight: half a step less precise than 8 bits costs nothing, and packs smaller."""
_CLIP_QUANTILE: Final = 0.9999
_WORTH_CHUNK: Final = 10_000


class Settings(NamedTuple):
    """What a training may vary; the defaults are the committed model's."""

    rows: int = 210_000
    units: int = 16
    members: int = 2
    """Networks of `units` each, from different seeds, whose logits are averaged."""
    epochs: int = 4
    first_units: int = 12
    first_epochs: int = 1
    batch: int = 4096
    rate: float = 0.02
    dropout: float = 0.2
    seed: int = 1


def train_folder(folder: Path, settings: Settings, tick: Tick) -> Artefact:
    """Train on a data folder. `tick(step, done, total)` reports progress."""
    texts = texts_of(folder)
    learnt = np.flatnonzero([not text.held_out for text in texts])
    hashed = hash_texts([text.text for text in texts], tick)
    tasks, language = tasks_of(texts)

    rows, samples = count(hashed, learnt)
    plan = Plan(
        settings.first_units,
        settings.first_epochs,
        settings.batch,
        settings.rate,
        settings.dropout,
        settings.seed,
    )
    first = train(rows, learnt, tasks, language, plan, partial(tick, "choose"))
    members = concept_hashes(default_concepts())
    wanted = np.concatenate((np.fromiter(members, np.uint64, len(members)), samples))
    values = _worth(first, rows, settings, rarity(texts))
    worth = np.concatenate((np.full(len(members), np.inf), values))
    counts, fingerprints, table = choose(wanted, worth, settings.rows)

    rows, linked = known(hashed, table, members, len(fingerprints))
    plan = plan._replace(units=settings.units, epochs=settings.epochs)
    networks = []
    for number in range(settings.members):
        member = plan._replace(seed=settings.seed + number)
        step = f"train {number + 1} of {settings.members}"
        networks.append(train(rows, learnt, tasks, language, member, partial(tick, step)))
    network = _averaged(networks, settings.units)
    artefact = _rounded(network, rows, linked, settings, counts, fingerprints)
    header = msgspec.structs.replace(artefact.header, data=digests(data_files(folder)))
    held_out = [
        Labelled(
            text.text,
            text.language,
            text.sentiment_source or text.emotion_source,
            text.sentiment,
            text.emotions,
        )
        for text in texts
        if text.held_out
    ]
    return tuned(artefact._replace(header=header), held_out)


def _worth(network: Network, rows: Rows, settings: Settings, rarity: Floats) -> Floats:
    """How much a feature moves the logits over all texts that have it."""
    seen = np.zeros(len(rows.weights))
    for first in range(0, len(rarity), _WORTH_CHUNK):
        edges = rows.starts[first : first + _WORTH_CHUNK + 1]
        counts = np.repeat(rarity[first : first + _WORTH_CHUNK], np.diff(edges))
        columns = rows.columns[edges[0] : edges[-1]]
        seen += np.bincount(columns, weights=counts, minlength=len(seen))
    embedding = network.embedding * rows.weights[:, None]
    units = settings.first_units
    moved = product(embedding[:, :units], network.heads)
    worth: Floats = (moved**2).sum(axis=1) + 0.1 * (embedding[:, units:] ** 2).sum(axis=1)
    worth *= seen.astype(np.float32)
    return worth


def _averaged(networks: Sequence[Network], units: int) -> Network:
    """One network whose logits are the mean of the given ones': their units side by side."""
    share = np.float32(1.0 / len(networks))

    def joined(parts: Sequence[Floats]) -> Floats:
        languages = np.mean([part[..., units:] for part in parts], axis=0, dtype=np.float32)
        return np.concatenate([*(part[..., :units] for part in parts), languages], axis=-1)

    return Network(
        joined([network.embedding for network in networks]),
        joined([network.offsets for network in networks]),
        np.concatenate([network.heads for network in networks]) * share,
        np.mean([network.biases for network in networks], axis=0, dtype=np.float32),
    )


def _rounded(
    network: Network,
    rows: Rows,
    links: Links,
    settings: Settings,
    counts: NDArray[np.uint8],
    fingerprints: NDArray[np.uint16],
) -> Artefact:
    """Fold the concepts in and round the weights; biases and thresholds are still plain."""
    size = len(fingerprints)
    weights = network.embedding * rows.weights[:, None]
    folded = weights[:size].copy()
    np.add.at(folded, links.rows, weights[links.columns])
    steps = np.quantile(np.abs(folded), _CLIP_QUANTILE, axis=0) / _WEIGHT_MAX
    whole = np.clip(np.rint(folded / steps), -_WEIGHT_MAX, _WEIGHT_MAX).astype(np.int8)
    header = Header(
        features=features.VERSION,
        rows=size,
        units=settings.units * settings.members,
        sentiments=SENTIMENTS,
        emotions=EMOTIONS,
        languages=LANGUAGES,
        scales=tuple((steps * SCALE).tolist()),
        offsets=tuple(network.offsets.astype(np.float64).tolist()),
        heads=tuple(tuple(row) for row in network.heads.astype(np.float64).tolist()),
        biases=tuple(network.biases.astype(np.float64).tolist()),
        sentiment_sure=0.0,
        emotion_share=1.0,
        language_sure=0.0,
        data={},
        training={name: float(value) for name, value in settings._asdict().items()},
        payload="",
    )
    return Artefact(header, counts, fingerprints, whole)
