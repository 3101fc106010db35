"""The table of topics is what the design promises."""

import re

from infra.settings import Settings
from schemas.dead_letters import HEAD_BYTES_MAX
from schemas.events import VALUE_BYTES_MAX
from schemas.times import DAY_MS, HOUR_MS, MINUTE_MS
from schemas.topics import (
    DEAD_LETTERS,
    ERASURES,
    INTERACTIONS,
    JOURNAL,
    TOPICS,
    UNLIMITED,
    gone_after_ms,
)


def test_names_are_distinct_and_fit_into_positions() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z.-]{1,100}", name) for name in names)


def test_partition_counts_are_settings() -> None:
    assert all(topic.partitions in Settings.model_fields for topic in TOPICS)


def test_the_journal_and_erasures_are_kept_for_ever_and_the_rest_is_not() -> None:
    kept = [one for one in TOPICS if one.retention_ms == UNLIMITED]
    assert kept == [JOURNAL, ERASURES]
    assert all(0 < one.retention_ms <= 14 * DAY_MS for one in TOPICS if one not in kept)


def test_a_dead_letter_fits_into_its_topic_and_any_event_into_it() -> None:
    """Base64 of what is kept, nonce and tag, and less than 4 KiB of frame around it."""
    sealed = HEAD_BYTES_MAX + 28
    assert 4 * (sealed + 2) / 3 + 4096 <= DEAD_LETTERS.message_bytes_max
    assert HEAD_BYTES_MAX >= VALUE_BYTES_MAX


def test_a_record_is_gone_when_its_segment_is() -> None:
    """Three days, the segment of 3 hours that the record is in, and Kafka's own delays."""
    assert gone_after_ms(INTERACTIONS) == 75 * HOUR_MS + 6 * MINUTE_MS
