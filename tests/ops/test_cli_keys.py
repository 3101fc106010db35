"""`fanmemory keys bind`: a former release's database, brought to bound keys by one command."""

import json
import subprocess
from pathlib import Path

from infra.postgres import connect
from infra.settings import Settings
from ops.doctor import examine
from ops.system import environment
from privacy.binding import binding_state
from privacy.keys import Keyring
from privacy.subjects import Subjects
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
