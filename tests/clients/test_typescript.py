"""`clients/typescript`: built strictly from the published contract, and run on Node against an API.

What it does is asked by its own tests in `clients/typescript/test/`.
"""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.clients import node
from tests.live import CREATOR, Live

README = (node.CLIENT / "README.md").read_text("utf-8")
EXAMPLE = re.compile(r"^```ts\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
async def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, its tests and the README's example, built where nothing else is."""
    node.need_modules()
    root = tmp_path_factory.mktemp("typescript")
    folder = root / "clients" / "typescript"
    shutil.copytree(
        node.CLIENT, folder, ignore=shutil.ignore_patterns("node_modules", "dist", "schema.ts")
    )
    (folder / "node_modules").symlink_to(node.MODULES)
    (root / "schemas").symlink_to(node.CLIENT.parents[1] / "schemas")
    (example,) = EXAMPLE.findall(README)
    declared = "declare const jwtToken: string;\n"
    (folder / "test" / "example.ts").write_text(
        declared + example.replace("'fanmemory-client'", "'../src/index.js'")
    )
    settings = json.loads((folder / "tsconfig.json").read_text())
    settings["compilerOptions"] |= {"types": ["node"], "rootDir": "."}
    settings["include"].append("test")
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    path = f"{node.NODE.parent}{os.pathsep}{os.environ['PATH']}"
    await node.node(node.NPM, "run", "build", folder=folder, PATH=path, HOME=str(root))
    return folder / "dist"


async def test_its_own_tests_pass(built: Path, live: Live) -> None:
    asked = {"url": live.url, "token": live.token(), "foreign": live.token("creator_other")}
    said = await node.node(
        "--test",
        "--test-reporter=spec",
        "test/client.test.js",
        folder=built,
        FANMEMORY_TEST=json.dumps(asked),
    )
    assert "fail 0" in said


async def test_the_example_of_its_readme_runs(built: Path, live: Live) -> None:
    preload = (
        f"globalThis.jwtToken = {json.dumps(live.token())};\n"
        "const there = globalThis.fetch;\n"
        "globalThis.fetch = (request) => there(new Request(\n"
        f"  request.url.replace('https://memory.example.com', {json.dumps(live.url)}), request));\n"
    )
    (built / "preload.js").write_text(preload)
    said = await node.node("--import", "./preload.js", "test/example.js", folder=built)
    first, second = said.splitlines()
    assert first == "1 Hello!"
    assert second.startswith("Fan not found ")
    assert CREATOR in README
