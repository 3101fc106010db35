"""What stands for people in logs is the same for who has the keyring, and says nothing else."""

import base64
import os
import uuid

from privacy import log_ids
from privacy.keys import Keyring
from privacy.log_ids import LogIds

FIRST, SECOND = (f"{name}:" + base64.b64encode(os.urandom(32)).decode() for name in ("a", "b"))


def test_a_creator_is_a_hash_that_only_the_keyring_makes_again() -> None:
    keyring = Keyring.parse(FIRST)
    shown = LogIds(keyring).creator("creator")
    assert len(shown) == 16
    assert set(shown) <= set("0123456789abcdef")
    assert shown == LogIds(Keyring.parse(FIRST)).creator("creator")
    assert shown != LogIds(keyring).creator("other")
    assert shown != LogIds(Keyring.parse(SECOND)).creator("creator")
    assert log_ids.creators(keyring, "creator") == [shown]


def test_lines_of_before_a_new_key_are_found_after_it() -> None:
    shown = LogIds(Keyring.parse(FIRST)).creator("creator")
    assert LogIds(Keyring.parse(f"{SECOND},{FIRST}")).creator("creator") == shown
    assert shown in log_ids.creators(Keyring.parse(f"{SECOND},{FIRST}"), "creator")


def test_a_fan_is_the_subject_as_a_uuid_is_written() -> None:
    for subject in (bytes(16), os.urandom(16), b"\xff" * 16):
        assert log_ids.fan(subject) == str(uuid.UUID(bytes=subject))
