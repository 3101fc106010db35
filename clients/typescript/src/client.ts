/** One method per endpoint, over calls whose types are those of the published contract. */

import createClient, { type Client } from 'openapi-fetch';

import { FanMemoryError, errorOf } from './errors.js';
import { type Fetch, POLICY, type Policy, retrying } from './retrying.js';
import type { components, operations, paths } from './schema.js';
import { Silence, type Told, events, toldOf } from './stream.js';

type Schemas = components['schemas'];
type Query<Name extends keyof operations> = NonNullable<operations[Name]['parameters']['query']>;
type Answered<T> = { data?: T; error?: unknown; response: Response };

export interface Fan {
  readonly creatorId: string;
  readonly fanId: string;
}

export interface Options extends Partial<Policy> {
  /** Where the service is, without a path. */
  readonly baseUrl: string;
  /** A bearer token, or what gives one for each request. */
  readonly token: string | (() => string | Promise<string>);
  readonly fetch?: (request: Request) => Promise<Response>;
}

/** What was read of a fan. */
export interface Read<T> {
  readonly data: T;
  readonly correlationId: string;
  /** Names this state of the memory; give the whole as `known` to the next read. */
  readonly etag?: string;
  /** The position of an own write that is not in it yet: as `minPosition` it can be waited for. */
  readonly pending?: string;
  /** It is less than what it should be: cached while the database is away, or nothing but a form. */
  readonly degraded: boolean;
}

export interface Reading<T> {
  /** What was read before: it is returned again when nothing has changed. */
  readonly known?: Read<T>;
  readonly signal?: AbortSignal;
}

/** Of one bulk read, and of one batch. */
const FANS_MAX = 100;
const EVENTS_MAX = 500;

export class FanMemory {
  /** Every call of the contract, typed, with the same retries; errors are returned, not thrown. */
  readonly calls: Client<paths>;
  /** For writes that have an id of their own in the body: carried out twice they count once. */
  readonly #repeating: Fetch;

  constructor(options: Options) {
    const { baseUrl, token, fetch: given, ...changed } = options;
    const policy = { ...POLICY, ...changed };
    const send = given ?? ((request: Request) => globalThis.fetch(request));
    this.#repeating = retrying(send, policy, () => true);
    this.calls = createClient<paths>({ baseUrl, fetch: retrying(send, policy) });
    this.calls.use({
      async onRequest({ request }) {
        request.headers.set(
          'Authorization',
          `Bearer ${typeof token === 'string' ? token : await token()}`,
        );
        return request;
      },
    });
  }

  // Memory.

  /** The whole memory of a fan. Throws `NotFound` for one of whom nothing is remembered. */
  context(
    fan: Fan,
    query: Omit<Query<'getMemoryContext'>, keyof Fan> = {},
    { known, signal }: Reading<Schemas['MemoryContext']> = {},
  ): Promise<Read<Schemas['MemoryContext']>> {
    const asked = this.calls.GET('/api/of-memory/context', {
      params: { query: { ...fan, ...query }, header: ifNoneMatch(known) },
      ...withSignal(signal),
    });
    return read(asked, known);
  }

  /** One number between 0 and 1, decayed to now. */
  engagementScore(
    fan: Fan,
    query: Omit<Query<'getEngagementScore'>, keyof Fan> = {},
    { known, signal }: Reading<Schemas['EngagementScore']> = {},
  ): Promise<Read<Schemas['EngagementScore']>> {
    const asked = this.calls.GET('/api/of-memory/engagement-score', {
      params: { query: { ...fan, ...query }, header: ifNoneMatch(known) },
      ...withSignal(signal),
    });
    return read(asked, known);
  }

  /** Which events moved a number. */
  async explain(fan: Fan, query: Omit<Query<'explain'>, keyof Fan>): Promise<Schemas['Explanation']> {
    const params = { query: { ...fan, ...query } };
    return (await this.#answer(this.calls.GET('/api/of-memory/explain', { params }))).data;
  }

  /** The memories of any number of fans, a hundred at a time. */
  async contexts(
    creatorId: string,
    fanIds: readonly string[],
    query: Query<'getMemoriesForFans'> = {},
  ): Promise<Pick<Schemas['Contexts'], 'data' | 'notFound' | 'errors'>> {
    const all: Pick<Schemas['Contexts'], 'data' | 'notFound' | 'errors'> = {
      data: {},
      notFound: [],
      errors: {},
    };
    for (const some of chunks(fanIds, FANS_MAX)) {
      const body = { creatorId, fanIds: some };
      const asked = this.calls.POST('/api/of-memory/bulk', { params: { query }, body });
      const { data, notFound, errors } = await this.#answer(asked);
      Object.assign(all.data, data);
      Object.assign(all.errors, errors);
      all.notFound.push(...notFound);
    }
    return all;
  }

  /** What happened since a position or a time, and what each field was and is. */
  async changes(fan: Fan, since: string): Promise<Schemas['Changes']> {
    const params = { query: { ...fan, since } };
    return (await this.#answer(this.calls.GET('/api/of-memory/changes', { params }))).data;
  }

  /** A page of the fans who meet all conditions. */
  async fans(query: Query<'listFans'>): Promise<Schemas['FansPage']> {
    return (await this.#answer(this.calls.GET('/api/of-memory/fans', { params: { query } }))).data;
  }

  /** A page of what was said, the newest first; with `q`, of what of it has these words. */
  async messages(
    fan: Fan,
    query: Omit<Query<'listMessages'>, keyof Fan> = {},
  ): Promise<Schemas['MessagesPage']> {
    const params = { query: { ...fan, ...query } };
    return (await this.#answer(this.calls.GET('/api/of-memory/messages', { params }))).data;
  }

  /** A page of what a fan has paid, the newest first, each less what was refunded of it. */
  async purchases(
    fan: Fan,
    query: Omit<Query<'listPurchases'>, keyof Fan> = {},
  ): Promise<Schemas['PurchasesPage']> {
    const params = { query: { ...fan, ...query } };
    return (await this.#answer(this.calls.GET('/api/of-memory/purchases', { params }))).data;
  }

  /** The context as it would be after up to 50 events; nothing is stored. */
  async whatIf(
    fan: Fan,
    events: readonly Schemas['InteractionEvent'][],
  ): Promise<Schemas['MemoryContext']> {
    const body = { ...fan, events: [...events] };
    return (await this.#answer(this.calls.POST('/api/of-memory/what-if', { body }))).data;
  }

  /** Opens one stream, where no header can be sent: for a browser's `EventSource`. */
  async streamTicket(body: Schemas['TicketRequest']): Promise<Schemas['StreamTicket']> {
    const asked = this.calls.POST('/api/of-memory/stream/ticket', { body, fetch: this.#repeating });
    return (await this.#answer(asked)).data;
  }

  /**
   * What moves in the memory of a creator's fans, or of one, as it does.
   *
   * Goes on when a connection ends, behind what it told last. Ends by throwing: when the token is no longer good,
   * when nothing can be had, or when `signal` says so.
   */
  async *stream(
    who: { readonly creatorId: string; readonly fanId?: string },
    { last, signal }: { readonly last?: string; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<Told, void, undefined> {
    let at = last;
    for (;;) {
      const silence = new Silence(signal);
      try {
        const { data, error, response } = await this.calls.GET('/api/of-memory/stream', {
          params: { query: who, header: at === undefined ? {} : { 'Last-Event-ID': at } },
          parseAs: 'stream',
          signal: silence.signal,
        });
        if (error !== undefined || !data) throw errorOf(response, error);
        for await (const event of events(data, silence)) {
          at = event.id === '' ? at : event.id;
          const told = toldOf(event);
          if (told !== undefined) yield told;
        }
      } catch (error) {
        // A connection that was had and is lost is had again; what could not be had is thrown.
        if (signal?.aborted || error instanceof FanMemoryError) throw error;
      } finally {
        silence.end();
      }
      await new Promise((resolve) => setTimeout(resolve, POLICY.pauseMs));
    }
  }

  // Writes.

  /** Append an interaction; answers its position. Without an `eventId` it gets one, so it counts once. */
  async save(event: Schemas['InteractionEvent']): Promise<string> {
    const asked = this.calls.POST('/api/of-memory/interaction', {
      params: { header: keyUnless(event.eventId) },
      body: event,
      fetch: this.#repeating,
    });
    return (await this.#answer(asked)).position;
  }

  /** Append any number, 500 at a time; one result for each, in order. */
  async saveAll(events: readonly Schemas['InteractionEvent'][]): Promise<Schemas['Outcome'][]> {
    const outcomes: Schemas['Outcome'][] = [];
    for (const body of chunks(events.map(identified), EVENTS_MAX)) {
      const init = { body, fetch: this.#repeating };
      const asked = this.calls.POST('/api/of-memory/interactions', init);
      outcomes.push(...(await this.#answer(asked)).data);
    }
    return outcomes;
  }

  /** What became of an event: of its id, or of the record at the position that its write told. */
  async event(
    fan: Fan,
    eventId: string,
    which: { type?: Schemas['InteractionEvent']['type']; position?: string } = {},
  ): Promise<Schemas['EventFate']> {
    const params = { path: { eventId }, query: { ...fan, ...which } };
    return (await this.#answer(this.calls.GET('/api/of-memory/events/{eventId}', { params }))).data;
  }

  /** What of a creator's was refused, or conflicts, the newest first. */
  async refused(
    creatorId: string,
    page: { cursor?: string; limit?: number } = {},
  ): Promise<Schemas['RefusedPage']> {
    const params = { query: { creatorId, ...page } };
    return (await this.#answer(this.calls.GET('/api/of-memory/refused', { params }))).data;
  }

  // A fan's rights.

  /** Everything that is remembered of a fan, as it is written. */
  async export(fan: Fan): Promise<ReadableStream<Uint8Array>> {
    const params = { query: { ...fan } };
    const { data, error, response } = await this.calls.GET('/api/of-memory/export', {
      params,
      parseAs: 'stream',
    });
    if (error !== undefined || !data) throw errorOf(response, error);
    return data;
  }

  /** Erase everything that is held of a fan; `data` says how far that is. */
  async clear(fan: Fan): Promise<Schemas['Cleared'] | Schemas['DataOfErasure']> {
    const params = { query: { ...fan } };
    return this.#answer(this.calls.DELETE('/api/of-memory/clear', { params }));
  }

  async erasure(erasure: string): Promise<Schemas['Erasure']> {
    const params = { path: { erasure } };
    return (await this.#answer(this.calls.GET('/api/of-memory/erasures/{erasure}', { params }))).data;
  }

  /** A signed proof of an erasure. */
  async receipt(erasure: string): Promise<Schemas['SignedReceipt']> {
    const params = { path: { erasure } };
    return this.#answer(this.calls.GET('/api/of-memory/erasures/{erasure}/receipt', { params }));
  }

  /** Forget one message: `Forgotten` when it is gone, else how far it is. */
  async forget(
    fan: Fan,
    eventId: string,
  ): Promise<Schemas['Forgotten'] | Schemas['DataOfForgetting']> {
    const params = { path: { eventId }, query: { ...fan } };
    return this.#answer(this.calls.DELETE('/api/of-memory/messages/{eventId}', { params }));
  }

  async forgetting(forgetting: string): Promise<Schemas['Forgetting']> {
    const params = { path: { forgetting } };
    const asked = this.calls.GET('/api/of-memory/forgettings/{forgetting}', { params });
    return (await this.#answer(asked)).data;
  }

  /** A signed proof of it. */
  async forgettingReceipt(forgetting: string): Promise<Schemas['SignedReceipt']> {
    const params = { path: { forgetting } };
    return this.#answer(this.calls.GET('/api/of-memory/forgettings/{forgetting}/receipt', { params }));
  }

  async receiptKeys(): Promise<Schemas['ReceiptKeys']> {
    return this.#answer(this.calls.GET('/.well-known/fanmemory-receipt-keys'));
  }

  async retention(creatorId: string): Promise<Schemas['Retention']> {
    const params = { query: { creatorId } };
    return (await this.#answer(this.calls.GET('/api/of-memory/retention', { params }))).data;
  }

  async setRetention(creatorId: string, body: Schemas['Retention']): Promise<Schemas['Retention']> {
    const params = { query: { creatorId } };
    return (await this.#answer(this.calls.PUT('/api/of-memory/retention', { params, body }))).data;
  }

  async suppression(fan: Fan): Promise<Schemas['Suppression']> {
    const params = { query: { ...fan } };
    return (await this.#answer(this.calls.GET('/api/of-memory/suppression', { params }))).data;
  }

  /** Remember nothing more of a fan. */
  async suppress(fan: Fan): Promise<Schemas['Suppression']> {
    const params = { query: { ...fan } };
    return (await this.#answer(this.calls.PUT('/api/of-memory/suppression', { params }))).data;
  }

  async unsuppress(fan: Fan): Promise<Schemas['Suppression']> {
    const params = { query: { ...fan } };
    return (await this.#answer(this.calls.DELETE('/api/of-memory/suppression', { params }))).data;
  }

  // Workflows.

  /** Ask the agent for something; without an `intentId` it gets one, so it is asked once. */
  async startWorkflow(intent: Schemas['ProductionWorkflowIntent']): Promise<Schemas['Accepted']> {
    const asked = this.calls.POST('/api/workflows', {
      params: { header: keyUnless(intent.intentId) },
      body: intent,
      fetch: this.#repeating,
    });
    return this.#answer(asked);
  }

  /** The newest first, page by page. */
  async *workflows(
    query: Omit<Query<'listWorkflows'>, 'cursor'> = {},
  ): AsyncGenerator<Schemas['WorkflowSummary'], void, undefined> {
    let cursor: string | null = null;
    do {
      const params: { query: Query<'listWorkflows'> } = {
        query: cursor === null ? query : { ...query, cursor },
      };
      const { data }: Schemas['DataOfPage'] = await this.#answer(
        this.calls.GET('/api/workflows', { params }),
      );
      yield* data.workflows;
      cursor = data.nextCursor;
    } while (cursor !== null);
  }

  async workflow(workflow: string, creatorId?: string): Promise<Schemas['WholeWorkflow']> {
    const params = of(workflow, creatorId);
    return (await this.#answer(this.calls.GET('/api/workflows/{workflow}', { params }))).data;
  }

  /** Approve one version of a draft. Throws `Conflict` when there is something newer. */
  async approve(
    workflow: string,
    body: Schemas['Approve'],
    creatorId?: string,
  ): Promise<Schemas['WorkflowSummary']> {
    const init = { params: of(workflow, creatorId), body };
    return (await this.#answer(this.calls.POST('/api/workflows/{workflow}/approve', init))).data;
  }

  async reject(
    workflow: string,
    body: Schemas['Reject'],
    creatorId?: string,
  ): Promise<Schemas['WorkflowSummary']> {
    const init = { params: of(workflow, creatorId), body };
    return (await this.#answer(this.calls.POST('/api/workflows/{workflow}/reject', init))).data;
  }

  async edit(
    workflow: string,
    body: Schemas['Edit'],
    creatorId?: string,
  ): Promise<Schemas['WorkflowSummary']> {
    const init = { params: of(workflow, creatorId), body };
    return (await this.#answer(this.calls.POST('/api/workflows/{workflow}/edit', init))).data;
  }

  async cancel(workflow: string, creatorId?: string): Promise<Schemas['WorkflowSummary']> {
    const params = of(workflow, creatorId);
    return (await this.#answer(this.calls.POST('/api/workflows/{workflow}/cancel', { params }))).data;
  }

  /** Compose it again. */
  async recompose(workflow: string, creatorId?: string): Promise<Schemas['WorkflowSummary']> {
    const params = of(workflow, creatorId);
    return (await this.#answer(this.calls.POST('/api/workflows/{workflow}/retry', { params }))).data;
  }

  /** Say what became of a message of which nobody knows whether it was sent. */
  async resolve(
    workflow: string,
    body: Schemas['Resolve'],
    creatorId?: string,
  ): Promise<Schemas['WorkflowSummary']> {
    const init = { params: of(workflow, creatorId), body };
    return (await this.#answer(this.calls.POST('/api/workflows/{workflow}/resolve', init))).data;
  }

  /** Up to 50 drafts, each judged by itself. */
  async approveSeveral(
    body: Schemas['ApproveSeveral'],
    creatorId?: string,
  ): Promise<Schemas['Judged'][]> {
    const init = { params: { query: which(creatorId) }, body };
    return (await this.#answer(this.calls.POST('/api/workflows/approve', init))).data;
  }

  /** The AI is silent for a fan, or speaks again. */
  async hold(body: Schemas['Hold'], creatorId?: string): Promise<Schemas['Hold']> {
    const init = { params: { query: which(creatorId) }, body };
    return (await this.#answer(this.calls.POST('/api/workflows/hold', init))).data;
  }

  /** All sends stand still, or go on. */
  async halt(body: Schemas['Halt'], creatorId?: string): Promise<Schemas['Halt']> {
    const init = { params: { query: which(creatorId) }, body };
    return (await this.#answer(this.calls.POST('/api/workflows/halt', init))).data;
  }

  async costs(query: Query<'getWorkflowCosts'> = {}): Promise<Schemas['CostReport']> {
    return (await this.#answer(this.calls.GET('/api/workflows/costs', { params: { query } }))).data;
  }

  /** Ask for five drafts of a campaign and for what it may cost; it waits for `startCampaign`. */
  async previewCampaign(
    body: Schemas['PreviewCampaign'],
    creatorId?: string,
  ): Promise<Schemas['Accepted']> {
    const params = { header: keyUnless(body.intentId), query: which(creatorId) };
    return this.#answer(this.calls.POST('/api/workflows/campaigns/preview', { params, body }));
  }

  /** A page, the newest first; `nextCursor` of it gives the next. */
  async campaigns(query: Query<'listCampaigns'> = {}): Promise<Schemas['CampaignPage']> {
    const params = { query };
    return (await this.#answer(this.calls.GET('/api/workflows/campaigns', { params }))).data;
  }

  /** How a campaign stands, its estimate and its previews. */
  async campaign(campaign: string, creatorId?: string): Promise<Schemas['CampaignDetails']> {
    const params = ofCampaign(campaign, creatorId);
    const asked = this.calls.GET('/api/workflows/campaigns/{campaign}', { params });
    return (await this.#answer(asked)).data;
  }

  /** Let a previewed campaign write to its members. */
  async startCampaign(campaign: string, creatorId?: string): Promise<Schemas['CampaignSummary']> {
    const params = ofCampaign(campaign, creatorId);
    const asked = this.calls.POST('/api/workflows/campaigns/{campaign}/start', { params });
    return (await this.#answer(asked)).data;
  }

  /** Nothing more is composed or sent until `resumeCampaign`. */
  async pauseCampaign(campaign: string, creatorId?: string): Promise<Schemas['CampaignSummary']> {
    const params = ofCampaign(campaign, creatorId);
    const asked = this.calls.POST('/api/workflows/campaigns/{campaign}/pause', { params });
    return (await this.#answer(asked)).data;
  }

  /** It goes on, with another budget where one is given. */
  async resumeCampaign(
    campaign: string,
    body: Schemas['ResumeCampaign'] = {},
    creatorId?: string,
  ): Promise<Schemas['CampaignSummary']> {
    const init = { params: ofCampaign(campaign, creatorId), body };
    const asked = this.calls.POST('/api/workflows/campaigns/{campaign}/resume', init);
    return (await this.#answer(asked)).data;
  }

  /** End it for good: what was not sent is not sent any more. */
  async stopCampaign(campaign: string, creatorId?: string): Promise<Schemas['CampaignSummary']> {
    const params = ofCampaign(campaign, creatorId);
    const asked = this.calls.POST('/api/workflows/campaigns/{campaign}/stop', { params });
    return (await this.#answer(asked)).data;
  }

  // Connections to platforms, and the service itself.

  async connections(creatorId?: string): Promise<Schemas['Connection'][]> {
    const params = { query: which(creatorId) };
    return (await this.#answer(this.calls.GET('/api/webhooks/connections', { params }))).data
      .connections;
  }

  async connection(connection: string, creatorId?: string): Promise<Schemas['Connection']> {
    const params = { path: { connection }, query: which(creatorId) };
    const asked = this.calls.GET('/api/webhooks/connections/{connection}', { params });
    return (await this.#answer(asked)).data;
  }

  async connect(
    connection: string,
    body: Schemas['NewConnection'],
    creatorId?: string,
  ): Promise<Schemas['Connection']> {
    const params = { path: { connection }, query: which(creatorId) };
    const asked = this.calls.PUT('/api/webhooks/connections/{connection}', { params, body });
    return (await this.#answer(asked)).data;
  }

  async disconnect(connection: string, creatorId?: string): Promise<void> {
    const params = { path: { connection }, query: which(creatorId) };
    await this.#answer(this.calls.DELETE('/api/webhooks/connections/{connection}', { params }));
  }

  /** The circuits around database, cache and broker. */
  async stats(): Promise<Schemas['Circuits']> {
    return (await this.#answer(this.calls.GET('/api/of-memory/stats'))).data;
  }

  async #answer<T>(asked: Promise<Answered<T>>): Promise<T> {
    const { data, error, response } = await asked;
    if (data === undefined) throw errorOf(response, error);
    return data;
  }
}

interface Enveloped<T> {
  readonly data: T;
  readonly correlationId: string;
  readonly degraded?: true;
}

async function read<T>(
  asked: Promise<Answered<Enveloped<T>>>,
  known: Read<T> | undefined,
): Promise<Read<T>> {
  const { data: body, error, response } = await asked;
  if (response.status === 304 && known !== undefined) return known;
  if (body === undefined) throw errorOf(response, error);
  const etag = response.headers.get('ETag');
  const pending = response.headers.get('X-Memory-Pending');
  return {
    data: body.data,
    correlationId: body.correlationId,
    degraded: body.degraded ?? false,
    ...(etag === null ? {} : { etag }),
    ...(pending === null ? {} : { pending }),
  };
}

function ifNoneMatch(known: Read<unknown> | undefined): { 'If-None-Match'?: string } {
  return known?.etag === undefined ? {} : { 'If-None-Match': known.etag };
}

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

function which(creatorId: string | undefined): { creatorId?: string } {
  return creatorId === undefined ? {} : { creatorId };
}

function of(
  workflow: string,
  creatorId: string | undefined,
): { path: { workflow: string }; query: { creatorId?: string } } {
  return { path: { workflow }, query: which(creatorId) };
}

function ofCampaign(
  campaign: string,
  creatorId: string | undefined,
): { path: { campaign: string }; query: { creatorId?: string } } {
  return { path: { campaign }, query: which(creatorId) };
}

function keyUnless(id: string | null | undefined): { 'Idempotency-Key'?: string } {
  return id == null ? { 'Idempotency-Key': crypto.randomUUID() } : {};
}

function identified(
  event: Schemas['InteractionEvent'],
): Schemas['InteractionEvent'] & { eventId: string } {
  return { ...event, eventId: event.eventId ?? crypto.randomUUID() };
}

function* chunks<T>(all: readonly T[], size: number): Generator<T[], void, undefined> {
  for (let start = 0; start < all.length; start += size) yield all.slice(start, start + size);
}
