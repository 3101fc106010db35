/** Against a real API: `FANMEMORY_TEST` is `{url, token, foreign}`, two tokens of different creators. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  BadRequest,
  Conflict,
  FanMemory,
  Forbidden,
  NoAnswer,
  NotFound,
  RateLimited,
  type Options,
  Unauthorized,
  Unavailable,
} from '../src/index.js';

const given = JSON.parse(process.env['FANMEMORY_TEST'] ?? '{}') as {
  url: string;
  token: string;
  foreign: string;
};
const creatorId = 'creator_456';
const timestamp = '2026-01-01T10:30:00Z';

function client(options: Partial<Options> = {}): FanMemory {
  return new FanMemory({ baseUrl: given.url, token: given.token, deadlineMs: 60_000, ...options });
}

/** A transport that spoils its first answers. */
function spoiled(...answers: ((request: Request) => Promise<Response>)[]): {
  sent: Request[];
  fetch: (request: Request) => Promise<Response>;
} {
  const sent: Request[] = [];
  const send = (request: Request): Promise<Response> => {
    sent.push(request.clone());
    return (answers.shift() ?? fetch)(request);
  };
  return { sent, fetch: send };
}

const lost = async (request: Request): Promise<Response> => {
  await (await fetch(request)).arrayBuffer();
  throw new TypeError('the connection was cut');
};
const answer = (status: number, after = '0') => (): Promise<Response> =>
  Promise.resolve(
    Response.json({ error: 'not now', correlationId: 'c' }, { status, headers: { 'Retry-After': after } }),
  );

test('what is saved is read at once', async () => {
  const memory = client();
  const fan = { creatorId, fanId: 'ts-read' };
  await assert.rejects(memory.context(fan), NotFound);
  const position = await memory.save({
    ...fan,
    type: 'message',
    content: 'I love this',
    timestamp: new Date().toISOString(),
  });
  assert.match(position, /^interactions-\d+:\d+$/);
  const context = await memory.context(fan);
  assert.equal(context.data.recentMessages[0]?.content, 'I love this');
  assert.equal(context.degraded, false);
  const score = await memory.engagementScore(fan, { minPosition: position });
  assert.ok(score.data.score > 0);
  const explained = await memory.explain(fan, { field: 'totalMessages' });
  assert.equal(explained.toValue, 1);
});

test('what has not changed is not sent again', async () => {
  const fan = { creatorId, fanId: 'ts-tag' };
  const { sent, fetch } = spoiled();
  const memory = client({ fetch });
  await memory.save({ ...fan, type: 'tip', amount: 5, timestamp });
  const first = await memory.context(fan);
  assert.ok(first.etag);
  assert.equal(await memory.context(fan, {}, { known: first }), first);
  assert.equal(sent.at(-1)?.headers.get('If-None-Match'), first.etag);
  await memory.save({ ...fan, type: 'tip', amount: 6, timestamp });
  const second = await memory.context(fan, {}, { known: first });
  assert.equal(second.data.engagementMetrics.totalRevenue, 11);
});

test('a write whose answer is lost counts once', async () => {
  const fan = { creatorId, fanId: 'ts-once' };
  const { sent, fetch } = spoiled(lost, answer(503));
  const memory = client({ fetch });
  await memory.save({ ...fan, type: 'tip', amount: 5, timestamp });
  const keys = sent.map((request) => request.headers.get('Idempotency-Key'));
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.ok(keys[0]);
  const batch = spoiled(lost);
  const outcomes = await client({ fetch: batch.fetch }).saveAll([
    { ...fan, type: 'tip', amount: 1, timestamp },
    { ...fan, type: 'tip', timestamp },
    { ...fan, type: 'tip', amount: 2, timestamp, eventId: 'é 3' },
  ]);
  assert.equal(batch.sent.length, 2);
  assert.ok(outcomes[0]?.position);
  assert.equal(outcomes[1]?.field, 'amount');
  const minPosition = outcomes[2]?.position ?? '';
  const { data } = await client().context(fan, { minPosition });
  assert.equal(data.engagementMetrics.totalRevenue, 8);
});

test('many are read and written in as many requests as it takes', async () => {
  const { sent, fetch } = spoiled();
  const memory = client({ fetch });
  const fanIds = Array.from({ length: 120 }, (_, n) => `ts-many-${n}`);
  const events = fanIds.map((fanId) => ({ creatorId, fanId, type: 'like' as const, timestamp }));
  const outcomes = await memory.saveAll([...events, ...events, ...events, ...events, ...events]);
  assert.equal(outcomes.length, 600);
  assert.equal(sent.length, 2);
  const read = await memory.contexts(creatorId, [...fanIds, 'ts-nobody']);
  assert.equal(Object.keys(read.data).length, 120);
  assert.deepEqual(read.notFound, ['ts-nobody']);
  assert.equal(sent.length, 4);
});

test('an error is of the class that says what to do', async () => {
  const fan = { creatorId, fanId: 'ts-errors' };
  await assert.rejects(client({ token: 'none' }).context(fan), Unauthorized);
  await assert.rejects(client({ token: () => Promise.resolve(given.foreign) }).context(fan), Forbidden);
  await assert.rejects(client().save({ ...fan, type: 'tip', timestamp }), (error) => {
    assert.ok(error instanceof BadRequest);
    assert.equal(error.name, 'BadRequest');
    assert.equal(error.message, 'amount: is required for a tip');
    assert.equal(error.type, 'VALIDATION_ERROR');
    assert.match(error.correlationId ?? '', /^[0-9a-f-]{36}$/);
    return true;
  });
});

test('attempts, pauses and the deadline are bounded', async () => {
  const fan = { creatorId, fanId: 'ts-bounds' };
  const busy = spoiled(answer(503), answer(503), answer(503), answer(503));
  await assert.rejects(client({ fetch: busy.fetch }).context(fan), Unavailable);
  assert.equal(busy.sent.length, 3);
  const limited = spoiled(answer(429, '3600'));
  await assert.rejects(client({ fetch: limited.fetch }).context(fan), RateLimited);
  assert.equal(limited.sent.length, 1);
  const unsafe = spoiled(lost);
  await assert.rejects(
    client({ fetch: unsafe.fetch }).halt({ halt: false }, creatorId),
    NoAnswer,
  );
  assert.equal(unsafe.sent.length, 1);
  const silent = (request: Request): Promise<Response> =>
    new Promise((_, reject) => {
      request.signal.addEventListener('abort', () => reject(request.signal.reason as Error));
    });
  await assert.rejects(client({ fetch: silent, deadlineMs: 50 }).context(fan), NoAnswer);
  const stopped = AbortSignal.abort(new Error('enough'));
  await assert.rejects(client().context(fan, {}, { signal: stopped }), /enough/);
});

test('a stream tells what moves, and goes on behind a lost connection', async () => {
  const fan = { creatorId, fanId: 'ts-stream' };
  let cut: (() => void) | undefined;
  const opened: Request[] = [];
  const cutting = async (request: Request): Promise<Response> => {
    if (!request.url.includes('/stream?')) return fetch(request);
    const cutter = new AbortController();
    cut = () => cutter.abort(new Error('the connection was cut'));
    const signal = AbortSignal.any([request.signal, cutter.signal]);
    const response = await fetch(new Request(request, { signal }));
    opened.push(request);
    return response;
  };
  const memory = client({ fetch: cutting });
  const enough = new AbortController();
  const stream = memory.stream(fan, { signal: enough.signal });
  const versions: string[] = [];
  const saving = (async () => {
    while (opened.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    await memory.save({ ...fan, type: 'tip', amount: 1, timestamp });
  })();
  for await (const told of stream) {
    assert.equal(told.kind, 'update');
    assert.ok(told.kind === 'update' && told.update.fanId === fan.fanId);
    versions.push(told.update.version);
    if (versions.length === 3) break;
    cut?.();
    await memory.save({ ...fan, type: 'tip', amount: 1, timestamp });
  }
  await saving;
  assert.equal(new Set(versions).size, 3);
  assert.ok(opened.length >= 3);
  assert.ok(opened.at(-1)?.headers.get('Last-Event-ID'));
  assert.ok((await memory.streamTicket({ creatorId })).ticket);
  await assert.rejects(client({ token: 'none' }).stream({ creatorId }).next(), Unauthorized);
  enough.abort(new Error('enough'));
  await assert.rejects(memory.stream(fan, { signal: enough.signal }).next(), /enough/);
});

test('what happened since, and what would be', async () => {
  const fan = { creatorId, fanId: 'ts-changes' };
  const memory = client();
  const first = await memory.save({ ...fan, type: 'tip', amount: 5, timestamp });
  await memory.context(fan, { minPosition: first });
  const tip = { ...fan, type: 'tip' as const, amount: 7, timestamp };
  const would = await memory.whatIf(fan, [tip]);
  assert.equal(would.engagementMetrics.totalRevenue, 12);
  const { data } = await memory.context(fan);
  assert.equal(data.engagementMetrics.totalRevenue, 5);
  await memory.context(fan, { minPosition: await memory.save(tip) });
  const changes = await memory.changes(fan, data.version ?? '');
  assert.equal(changes.events.length, 1);
  assert.deepEqual(changes.views['engagementMetrics']?.['totalRevenue'], { was: 5, is: 12 });
});

test('an inbox is listed, read and searched', async () => {
  const fan = { creatorId, fanId: 'ts-inbox' };
  const memory = client();
  const asked = { ...fan, type: 'message' as const, content: 'Où es-tu ?', timestamp };
  await memory.context(fan, { minPosition: await memory.save({ ...asked, eventId: 'q1' }) });
  const { fans } = await memory.fans({ creatorId, sort: 'waitingSince', limit: 200 });
  assert.equal(fans.find((one) => one.fanId === fan.fanId)?.unanswered, 1);
  const said = await memory.messages(fan, { q: 'ou tu' });
  assert.deepEqual(said.messages.map((one) => one.id), ['q1']);
  assert.equal(said.nextCursor, null);
  const tip = { ...fan, eventId: 't1', type: 'tip' as const, amount: 5, timestamp };
  await memory.context(fan, { minPosition: await memory.save(tip) });
  const { purchases } = await memory.purchases(fan);
  assert.deepEqual(purchases.map((one) => [one.id, one.net]), [['t1', 5]]);
});

test('a fan has rights', async () => {
  const memory = client();
  const fan = { creatorId, fanId: 'ts-rights' };
  await memory.save({ ...fan, type: 'tip', amount: 5, timestamp });
  await memory.context(fan);
  const exported = await new Response(await memory.export(fan)).text();
  assert.ok(exported.includes('ts-rights'));
  assert.equal((await memory.suppress(fan)).suppressed, true);
  assert.equal((await memory.suppression(fan)).suppressed, true);
  assert.equal((await memory.unsuppress(fan)).suppressed, false);
  const cleared = await memory.clear(fan);
  const id = 'data' in cleared ? cleared.data.erasureId : cleared.erasureId;
  assert.ok(id);
  assert.equal((await memory.erasure(id)).erasureId, id);
  await assert.rejects(memory.context(fan, { consistency: 'eventual' }), NotFound);
  assert.ok((await memory.receiptKeys()).keys.length > 0);
  assert.equal((await memory.setRetention(creatorId, { silentDays: 400 })).silentDays, 400);
  assert.equal((await memory.retention(creatorId)).silentDays, 400);
  assert.equal((await memory.event({ creatorId, fanId: 'nobody here' }, 'a/b')).fate, 'unknown');
  assert.equal((await memory.refused(creatorId, { limit: 1 })).refused.length <= 1, true);
});

test('the agent is asked once, and its drafts are judged', async () => {
  const nobody = '0'.repeat(32);
  const { sent, fetch } = spoiled(lost);
  const memory = client({ fetch });
  const started = await memory.startWorkflow({
    type: 'message_generation',
    userId: 'user_1',
    creatorId,
    recipientId: 'ts-agent',
    data: { purpose: 'reply' },
  });
  assert.equal(sent.length, 2);
  assert.match(started.workflowId, /^[0-9a-f]{32}$/);
  for await (const workflow of memory.workflows({ creatorId, limit: 1 })) assert.ok(workflow.workflowId);
  await assert.rejects(memory.workflow(nobody, creatorId), NotFound);
  await assert.rejects(memory.approve(nobody, { version: 1 }, creatorId), NotFound);
  assert.equal((await memory.halt({ halt: false }, creatorId)).halt, false);
  assert.deepEqual((await memory.costs({ creatorId })).total, []);

  const previewed = await memory.previewCampaign(
    { segment: { minScore: 0.99 }, instruction: 'Say hello' },
    creatorId,
  );
  assert.match(previewed.workflowId, /^[0-9a-f]{32}$/);
  const unknown = '0'.repeat(32);
  assert.ok(Array.isArray((await memory.campaigns({ creatorId })).campaigns));
  for (const asked of [
    () => memory.campaign(unknown, creatorId),
    () => memory.startCampaign(unknown, creatorId),
    () => memory.pauseCampaign(unknown, creatorId),
    () => memory.resumeCampaign(unknown, {}, creatorId),
    () => memory.stopCampaign(unknown, creatorId),
  ]) {
    await assert.rejects(asked, NotFound);
  }
  assert.equal(new Conflict('there is something newer', 409).name, 'Conflict');
});

test('connections are made, listed and ended', async () => {
  const memory = client();
  const id = 'ab'.repeat(16);
  const made = await memory.connect(id, { platform: 'stripe', secret: 'whsec_test' });
  assert.equal(made.platform, 'stripe');
  assert.equal((await memory.connection(id)).connection, id);
  assert.deepEqual((await memory.connections()).map((one) => one.connection), [id]);
  await memory.disconnect(id);
  await assert.rejects(memory.connection(id), NotFound);
  assert.equal((await memory.stats()).database.state, 'CLOSED');
});
