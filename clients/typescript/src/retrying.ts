/**
 * A `fetch` that tries again where that can help and can't do harm.
 *
 * It can't where a request only reads, says what shall be (PUT, DELETE), or has an `Idempotency-Key`. Nothing
 * was done of what is answered with 429, so that is tried again whatever it is.
 */

import { NoAnswer } from './errors.js';

export interface Policy {
  /** How often one request is sent at most. */
  readonly attempts: number;
  /** Of the first pause; each next is twice as long. */
  readonly pauseMs: number;
  /** Of the longest pause; what `Retry-After` asks for may be longer. */
  readonly pauseMsMax: number;
  /** Of a call with all of its attempts and pauses. */
  readonly deadlineMs: number;
}

/** The attempts, pauses and spread that the service itself uses. */
export const POLICY: Policy = { attempts: 3, pauseMs: 100, pauseMsMax: 2_000, deadlineMs: 10_000 };

const SPREAD = 0.3;
const NOT_NOW: ReadonlySet<number> = new Set([502, 503, 504]);
const REPEATABLE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE']);
/** A read that needs a body. */
const READS = /\/api\/of-memory\/(bulk|what-if)$/;

/** An answer that is read while it is written, for as long as it takes. */
const STREAMS = /\/api\/of-memory\/(export|stream)$/;
const EMPTY: ReadonlySet<number> = new Set([204, 304]);

export type Fetch = (request: Request) => Promise<Response>;

/**
 * Throws `NoAnswer`; an answer that stays what it is after the last attempt is returned.
 *
 * `repeatable` says which requests do no harm when they are carried out twice.
 */
export function retrying(
  send: Fetch,
  policy: Policy,
  repeatable: (request: Request) => boolean = isRepeatable,
): Fetch {
  return async (request) => {
    const harmless = repeatable(request);
    const end = performance.now() + policy.deadlineMs;
    for (let attempt = 1; ; attempt += 1) {
      const last = attempt >= policy.attempts;
      const pause = spread(Math.min(policy.pauseMs * 2 ** (attempt - 1), policy.pauseMsMax));
      let response: Response;
      try {
        response = await answered(send, last ? request : request.clone(), end - performance.now());
      } catch (cause) {
        if (request.signal.aborted) throw cause;
        if (last || !harmless || performance.now() + pause >= end) throw noAnswer(cause);
        await sleep(pause, request.signal);
        continue;
      }
      const again = response.status === 429 || (harmless && NOT_NOW.has(response.status));
      const wait = Math.max(pause, retryAfterMs(response));
      if (last || !again || performance.now() + wait >= end) return response;
      await sleep(wait, request.signal);
    }
  };
}

/** One attempt, with its body, within the time that is left. */
async function answered(send: Fetch, request: Request, ms: number): Promise<Response> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new Error('the deadline has passed')), ms);
  try {
    const signal = AbortSignal.any([request.signal, late.signal]);
    const response = await send(new Request(request, { signal }));
    const streams = response.ok && STREAMS.test(new URL(request.url).pathname);
    if (streams || EMPTY.has(response.status)) return response;
    const { status, headers } = response;
    return new Response(await response.arrayBuffer(), { status, headers });
  } finally {
    clearTimeout(timer);
  }
}

function isRepeatable(request: Request): boolean {
  return (
    REPEATABLE.has(request.method) ||
    request.headers.has('Idempotency-Key') ||
    READS.test(new URL(request.url).pathname)
  );
}

function spread(pause: number): number {
  return pause * (1 - SPREAD + 2 * SPREAD * Math.random());
}

/** `Retry-After` in seconds; the service never writes a date. */
function retryAfterMs(response: Response): number {
  const seconds = Number(response.headers.get('Retry-After') ?? '0');
  return Number.isFinite(seconds) ? seconds * 1000 : 0;
}

function noAnswer(cause: unknown): NoAnswer {
  return new NoAnswer('There was no answer.', 0, undefined, undefined, undefined, { cause });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason as Error);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
}
