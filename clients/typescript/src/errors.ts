/** What a call throws. Each class is one thing that a caller may want to do something about. */

import type { components } from './schema.js';

type ErrorBody = components['schemas']['ErrorBody'];

export class FanMemoryError extends Error {
  constructor(
    message: string,
    /** Of HTTP; 0 when there was no answer. */
    readonly status: number,
    /** The class of the error in the API's words, where it has one. */
    readonly type?: ErrorBody['type'],
    /** The id that the service's own log lines of this request have. */
    readonly correlationId?: string,
    /** What to do next. */
    readonly details?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A parameter or a field is wrong; the message names it. 400, 413, 422. */
export class BadRequest extends FanMemoryError {}
/** There is no valid token. 401. */
export class Unauthorized extends FanMemoryError {}
/** The token is not this creator's, or not good for this. 403. */
export class Forbidden extends FanMemoryError {}
/** Nothing is remembered under this name. 404. */
export class NotFound extends FanMemoryError {}
/** What it is about is in another state by now. 409. */
export class Conflict extends FanMemoryError {}
/** More than may be asked in a minute, also after waiting. 429. */
export class RateLimited extends FanMemoryError {}
/** A part of the service is away or too busy, also after trying again. 503, 504. */
export class Unavailable extends FanMemoryError {}
/** Anything else that the service answered. */
export class ServerFailed extends FanMemoryError {}
/** No connection, or no answer within the deadline. A write may have been carried out all the same. */
export class NoAnswer extends FanMemoryError {}

const CLASSES: Readonly<Record<number, typeof FanMemoryError>> = {
  400: BadRequest,
  401: Unauthorized,
  403: Forbidden,
  404: NotFound,
  409: Conflict,
  413: BadRequest,
  422: BadRequest,
  429: RateLimited,
  503: Unavailable,
  504: Unavailable,
};

/** The error that an answer is; its body may be anything. */
export function errorOf(response: Response, body: unknown): FanMemoryError {
  const said = (typeof body === 'object' && body !== null ? body : {}) as Partial<ErrorBody>;
  const Class = CLASSES[response.status] ?? ServerFailed;
  const message = said.error ?? `The service answered ${response.status}.`;
  const correlationId = said.correlationId ?? response.headers.get('X-Correlation-Id') ?? undefined;
  return new Class(message, response.status, said.type, correlationId, said.details ?? undefined);
}
