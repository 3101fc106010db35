"""The table of topics is what the design promises."""

import re

from infra.settings import Settings
from schemas.times import DAY_MS
from schemas.topics import DEAD_LETTERS, INTERACTIONS, JOURNAL, TOPICS, UNLIMITED


def test_names_are_distinct_and_fit_into_positions() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z.-]{1,100}", name) for name in names)


def test_partition_counts_are_settings() -> None:
    assert all(topic.partitions in Settings.model_fields for topic in TOPICS)


def test_the_journal_is_kept_for_ever_and_the_rest_is_not() -> None:
    assert JOURNAL.retention_ms == UNLIMITED
    assert all(0 < one.retention_ms <= 14 * DAY_MS for one in TOPICS if one is not JOURNAL)


def test_a_dead_letter_holds_any_record() -> None:
    """Base64 of the value, nonce and tag, and less than 4 KiB of frame around it."""
    sealed = INTERACTIONS.message_bytes_max + 28
    assert 4 * (sealed + 2) / 3 + 4096 <= DEAD_LETTERS.message_bytes_max
