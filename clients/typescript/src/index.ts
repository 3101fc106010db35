/** A client of Fan Memory's HTTP API. `docs/api.md` says what each call means. */

export { FanMemory, type Fan, type Options, type Read, type Reading } from './client.js';
export {
  BadRequest,
  Conflict,
  FanMemoryError,
  Forbidden,
  NoAnswer,
  NotFound,
  RateLimited,
  ServerFailed,
  Unauthorized,
  Unavailable,
} from './errors.js';
export type { BudgetAlert, MemoryUpdate, Told } from './stream.js';
export type { components, operations, paths } from './schema.js';
