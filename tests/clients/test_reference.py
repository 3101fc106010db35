"""The client class that the public API document shows, as it stands there, byte for byte.

The document is not ours, so it is read from beside the repository, where it is.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.clients import node
from tests.live import CREATOR, Live

DOCUMENT = Path(__file__).parents[3] / "shared" / "reference" / "memory-api.md"
pytestmark = pytest.mark.skipif(not DOCUMENT.exists(), reason="the API's document is not here")

BLOCK = re.compile(r"^```typescript\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FAN, WHEN = "fan_123", "2026-01-01T00:00:00Z"
DRIVER = """
import { MemoryAPIClient } from './client.js';

declare const settings: { url: string; token: string; creator: string; fan: string };
const client = new MemoryAPIClient(settings.url, settings.token);
const { creator, fan } = settings;
const said: unknown[] = [];

async function failure(what: Promise<unknown>): Promise<string> {
  return what.then(() => 'no failure', (error: unknown) => (error as Error).message);
}

said.push(await failure(client.getMemoryContext(fan, creator)));
const scores: number[] = [];
for (const content of ['Hello!', 'I love this 😍', 'See you tomorrow']) {
  const sent = { fanId: fan, creatorId: creator, type: 'message', content } as const;
  await client.saveInteraction({ ...sent, timestamp: new Date() });
  scores.push(await client.getEngagementScore(fan, creator));
}
await client.saveInteraction({
  fanId: fan, creatorId: creator, type: 'tip', amount: 5.5, timestamp: new Date(),
  metadata: { from: 'a test' },
});
scores.push(await client.getEngagementScore(fan, creator));
said.push(scores);
said.push(await client.getMemoryContext(fan, creator));
const tip = { fanId: fan, creatorId: creator, type: 'tip', timestamp: new Date() } as const;
said.push(await failure(client.saveInteraction(tip)));
said.push(await failure(client.getMemoryContext(fan, 'creator_other')));
const stranger = new MemoryAPIClient(settings.url, 'no token');
said.push(await failure(stranger.getEngagementScore(fan, creator)));
console.log(JSON.stringify(said));
"""
USAGE = """
const answered = globalThis.fetch;
globalThis.fetch = (url, options) =>
  answered(String(url).replace('https://api.example.com', settings.url), options);
globalThis.jwtToken = settings.token;
"""
"""What the document's own lines need beside them: its host is ours, and their token."""


def blocks() -> list[str]:
    return BLOCK.findall(DOCUMENT.read_text("utf-8"))


def client_block() -> str:
    (block,) = (one for one in blocks() if one.lstrip().startswith("import { MemoryContext"))
    return block


def write_types(folder: Path) -> None:
    """The interfaces where the client imports them from, which the document does not export."""
    (types,) = (one for one in blocks() if "interface MemoryContext" in one)
    names = re.findall(r"^interface (\w+) ", types, re.MULTILINE)
    (folder / "lib" / "of-memory").mkdir(parents=True)
    exported = f"export type {{ {', '.join(names)} }};\n"
    (folder / "lib" / "of-memory" / "types.ts").write_text(types + exported)


def settings_of(live: Live) -> str:
    said = {"url": live.url, "token": live.token(), "creator": CREATOR, "fan": FAN}
    return f"globalThis.settings = {json.dumps(said)};\n"


PATHS = {"paths": {"@/*": ["./*"]}}


async def test_every_method_of_it_works_and_the_score_after_a_save_is_the_new_one(
    live: Live, tmp_path: Path
) -> None:
    source = client_block().partition("// Usage")[0]
    assert source.count("async ") == 3
    (tmp_path / "client.ts").write_text(source + "export { MemoryAPIClient };\n")
    (tmp_path / "driver.ts").write_text(DRIVER)
    (tmp_path / "settings.js").write_text(settings_of(live))
    write_types(tmp_path)
    await node.compiled(tmp_path, ["driver.ts"], **PATHS)
    ran = await node.node("--import", "./settings.js", "driver.js", folder=tmp_path)
    unknown, scores, context, unfit, foreign, unauthorized = json.loads(ran)
    assert unknown == "Fan not found"
    assert scores == sorted(set(scores)), "each interaction moves the score"
    assert_is_what_was_saved(context, scores[-1])
    assert unfit == "amount: is required for a tip"
    assert foreign == "Creator access required"
    assert unauthorized == "Unauthorized"


def assert_is_what_was_saved(context: dict[str, Any], score: float) -> None:
    said = [one["content"] for one in context["recentMessages"]]
    assert sorted(said) == ["Hello!", "I love this 😍", "See you tomorrow"]
    metrics = context["engagementMetrics"]
    assert (metrics["totalMessages"], metrics["totalRevenue"]) == (3, 5.5)
    assert metrics["engagementScore"] == pytest.approx(score, abs=1e-3)
    assert context["fanId"] == FAN


async def test_the_lines_that_use_it_run_as_they_stand(live: Live, tmp_path: Path) -> None:
    saved = {"creatorId": CREATOR, "fanId": FAN, "type": "like", "timestamp": WHEN}
    await live.pipeline.publish(saved)
    await live.pipeline.caught_up()
    (tmp_path / "usage.ts").write_text(client_block())
    (tmp_path / "token.d.ts").write_text("declare const jwtToken: string;\n")
    (tmp_path / "settings.js").write_text(settings_of(live) + USAGE)
    write_types(tmp_path)
    await node.compiled(tmp_path, ["usage.ts", "token.d.ts"], **PATHS)
    ran = await node.node("--import", "./settings.js", "usage.js", folder=tmp_path)
    assert "Memory context:" in ran
    assert "Engagement score: 0." in ran
