/** Server-sent events, as the API's stream sends them. */

/** What a person may want to be called for; no diagnosis. */
export interface Signal {
  readonly evidence: 'explicit' | 'implied';
  /** Of the newest message that said it. */
  readonly timestamp: string;
  /** Messages that said it. */
  readonly count: number;
}

/** That a fan's documents moved, without what is in them. */
export interface MemoryUpdate {
  readonly creatorId: string;
  readonly fanId: string;
  readonly views: readonly string[];
  readonly version: string;
  readonly engagementScore: number;
  readonly timestamp: string;
  readonly erased?: true;
  /** What messages that are new say. */
  readonly signals?: Readonly<Partial<Record<'distress' | 'refund' | 'leaving', Signal>>>;
}

/** A budget for calls of models is spent to 80 %, or refuses them. */
export interface BudgetAlert {
  readonly creatorId: string;
  readonly state: 'warning' | 'exceeded';
  readonly timestamp: string;
  /** Whose call it was. */
  readonly workflowId: string;
  readonly scope?: 'user' | 'creator' | 'campaign';
  /** A campaign has one budget for all of it. */
  readonly period?: 'day' | 'month';
}

/** `id` says where in the stream that is: as `last` the stream goes on behind it. */
export type Told =
  | { readonly kind: 'update' | 'erased'; readonly id: string; readonly update: MemoryUpdate }
  /** Something was not told: read again all that is shown. */
  | { readonly kind: 'reset'; readonly id: string; readonly reason: string }
  | { readonly kind: 'budget'; readonly id: string; readonly budget: BudgetAlert };

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
  readonly id: string;
}

/** Of a stream, which says every 15 s that it is there. */
const SILENT_MS_MAX = 45_000;
/** Of one event, characters. */
const EVENT_LENGTH_MAX = 1_048_576;

/** Ends a stream that has said nothing for too long. */
export class Silence {
  readonly signal: AbortSignal;
  readonly #late = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.signal = signal ? AbortSignal.any([signal, this.#late.signal]) : this.#late.signal;
    this.broken();
  }

  broken(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#late.abort(new Error('silent')), SILENT_MS_MAX);
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#late.abort(new Error('ended'));
  }
}

export async function* events(
  body: ReadableStream<Uint8Array>,
  silence: Silence,
): AsyncGenerator<ServerSentEvent, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = '';
  let event = '';
  let data: string[] = [];
  let id = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    silence.broken();
    rest += decoder.decode(value, { stream: true });
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > EVENT_LENGTH_MAX) throw new Error('an event is too long');
    for (const line of lines) {
      if (line === '') {
        if (data.length > 0 || id !== '') yield { event, data: data.join('\n'), id };
        [event, data] = ['', []];
        continue;
      }
      const [name, text] = field(line);
      if (name === 'event') event = text;
      else if (name === 'data') data.push(text);
      else if (name === 'id') id = text;
    }
  }
}

function field(line: string): [string, string] {
  const colon = line.indexOf(':');
  if (colon < 0) return [line, ''];
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
}

/** Nothing for what only says that the stream is alive, and for what a newer service may say. */
export function toldOf({ event, data, id }: ServerSentEvent): Told | undefined {
  if (event === 'reset') {
    return { kind: event, id, reason: (JSON.parse(data) as { reason: string }).reason };
  }
  if (event === 'update' || event === 'erased') {
    return { kind: event, id, update: JSON.parse(data) as MemoryUpdate };
  }
  if (event === 'budget') return { kind: event, id, budget: JSON.parse(data) as BudgetAlert };
  return undefined;
}
