"""`fanmemory keys`: binding a former release's keys, and from one key to the next."""

import json
import subprocess
from pathlib import Path
from typing import Any

from infra.postgres import connect
from infra.settings import Settings
from ops.doctor import examine
from ops.secrets import make_secrets, ring_file
from ops.system import environment
from privacy.binding import binding_state
from privacy.keys import Keyring
from privacy.subjects import Subjects
from schemas.dead_letters import DeadLetter, encode_dead_letter
from schemas.times import render_time
from schemas.topics import DEAD_LETTERS
from stores import outbox
from tests.cli import fanmemory


async def keyring_finding(data: Path, settings: Settings) -> tuple[str, str]:
    (found,) = [one for one in await examine(data, settings) if one.check == "keyring"]
    return found.verdict, found.advice


def bind(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return fanmemory("keys", "bind", *words, cwd=None, stdin=None, **environment(settings))


async def test_binds_what_a_former_release_left_and_names_what_is_broken(
    store_settings: Settings, tmp_path: Path
) -> None:
    connection = await connect(store_settings.postgres_url)
    await connection.execute("UPDATE key_binding SET state = 'unbound'")
    keyring = Keyring.of(store_settings)
    made = await Subjects(keyring, 10).resolve(
        connection, [("creator", "fan"), ("creator", "other")]
    )
    verdict, advice = await keyring_finding(tmp_path, store_settings)
    assert verdict == "note"
    assert "fanmemory keys bind" in advice
    await connection.execute("UPDATE subject SET wrapped_key = 'x' WHERE fan_id = 'other'")

    ran = bind(store_settings, "--json")
    assert ran.returncode == 1, ran.stderr
    told = json.loads(ran.stdout)
    assert told["bound"] == 1
    assert [subject.replace("-", "") for subject in told["broken"]] == [
        made["creator", "other"].id.hex()
    ]
    assert await binding_state(connection) == "bound"
    await connection.execute("DELETE FROM subject WHERE fan_id = 'other'")
    assert (await keyring_finding(tmp_path, store_settings))[0] == "ok"
    again = bind(store_settings)
    assert (again.returncode, again.stdout.startswith("0 keys were bound")) == (0, True)
    await connection.close()


async def test_a_key_is_made_rotated_to_and_the_former_one_retired(
    settings: Settings, tmp_path: Path
) -> None:
    """With the ring in the settings, as in production; a dead letter holds the former key on."""
    former = settings.keyring.get_secret_value()
    id = former.partition(":")[0]
    connection = await connect(settings.postgres_url)
    made = await Subjects(Keyring.of(settings), 10).resolve(connection, [("creator", "fan")])
    entry = json.loads(fanmemory("keys", "new", "second", "--json").stdout)["entry"]
    ring = f"{entry},{former}"

    def run(*words: str, keyring: str = ring) -> Any:
        given = environment(settings) | {"FANMEMORY_KEYRING": keyring}
        ran = fanmemory(
            "keys", *words, "--json", "--data", str(tmp_path), cwd=None, stdin=None, **given
        )
        return ran.returncode, json.loads(ran.stdout)

    assert run("retire", id) == (1, {"retired": False, "wraps": {"fans": 1}})
    code, told = run("rotate")
    assert (code, told["rewrapped"], told["left"]) == (0, 1, 0)
    place = "interactions-0@0"
    kek, sealed = Keyring.of(settings).seal(b"what was refused", place.encode())
    # As former versions sealed them: under the ring itself.
    letter = DeadLetter(place, "$", "why", render_time(0), kek, sealed, 16, "")
    value = encode_dead_letter(letter)
    async with connection.transaction():
        refused = outbox.Outgoing(DEAD_LETTERS.name, None, place.encode(), value, 0)
        await outbox.write(connection, [refused])
    assert run("retire", id) == (1, {"retired": False, "wraps": {"dead letters": 1}})
    assert run("list")[1]["keys"] == [
        {"id": "second", "state": "newest", "wraps": {"fans": 1}},
        {"id": id, "state": "wraps", "wraps": {"dead letters": 1}},
    ]
    await connection.execute("DELETE FROM outbox_record; DELETE FROM outbox_pack")
    code, told = run("retire", id)
    assert (code, told["retired"], told["removed"]) == (0, True, False)
    (instead,) = told["instead"]
    after = Keyring.parse(f"{entry},{instead}")
    assert after.derive(b"cache name") == Keyring.of(settings).derive(b"cache name")
    found = await Subjects(after, 10).find(connection, [("creator", "fan")])
    assert found["creator", "fan"].key == made["creator", "fan"].key
    code, told = run("retire", "second", keyring=f"{entry},{instead}")
    assert code == 1
    await connection.close()


def test_a_development_ring_is_written_in_its_place(tmp_path: Path) -> None:
    make_secrets(Settings(), tmp_path)
    before = ring_file(tmp_path).read_text()
    ran = fanmemory("keys", "new", "k2", "--add", "--data", str(tmp_path))
    assert ran.returncode == 0, ran.stderr
    after = ring_file(tmp_path).read_text()
    assert after.startswith("k2:")
    assert after.endswith("," + before)
    assert after.partition(",")[0] not in ran.stdout + ran.stderr
    assert ring_file(tmp_path).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.glob("keyring*")] == ["keyring"]
    assert fanmemory("keys", "new", "k2", "--add", "--data", str(tmp_path)).returncode == 2
