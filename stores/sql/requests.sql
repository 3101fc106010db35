-- Requests, of either kind: erasures (`erasure.sql`) and forgettings (`forgetting.sql`), whose table is
-- {requests}; {deleted} is since when nothing has to be deleted before the order is given.

-- The cache has to forget once more.
-- name: drop_again
UPDATE {requests} SET drops = drops + 1 WHERE erasure = ANY ($1::uuid[]);

-- One worker at a time, until its transaction ends.
-- name: lock
SELECT pg_try_advisory_xact_lock($1);

-- What was done: where orders were written (no partition: none was), how often the cache has confirmed and
-- for which of its names, and which subjects the ledger has. The rows are held, against deadlocks in one order, so that `complete`, which
-- follows, sees what ingest has made of them.
-- name: remember
WITH held AS MATERIALIZED (
    SELECT erasure FROM {requests} WHERE erasure = ANY ($1::uuid[]) ORDER BY erasure FOR UPDATE
), noted AS (
    UPDATE erased_subject SET noted = true WHERE subject = ANY ($6::uuid[])
)
UPDATE {requests} AS r SET dropped = greatest(r.dropped, x.drops),
    cached = coalesce(x.cached, r.cached),
    ordered_at = CASE WHEN x.partition IS NULL OR r.taken_at IS NOT NULL THEN r.ordered_at
        ELSE clock_timestamp() END,
    partition = CASE WHEN r.taken_at IS NULL THEN coalesce(x.partition, r.partition)
        ELSE r.partition END,
    "offset" = CASE WHEN r.taken_at IS NULL THEN coalesce(x."offset", r."offset")
        ELSE r."offset" END
FROM held JOIN unnest($1::uuid[], $2::int[], $3::bigint[], $4::int[], $5::bytea[])
    AS x (erasure, partition, "offset", drops, cached) USING (erasure)
WHERE r.erasure = held.erasure;

-- Of these what nothing is left to do for; which that was. Whom or what it named is not needed any more.
-- name: complete
UPDATE {requests} AS r SET completed_at = clock_timestamp(), kek = NULL, sealed = NULL
WHERE r.erasure = ANY ($1::uuid[]) AND r.completed_at IS NULL AND r.taken_at IS NOT NULL
    AND r.dropped >= r.drops
    AND NOT EXISTS (SELECT FROM erased_subject AS s WHERE s.erasure = r.erasure AND NOT s.noted)
RETURNING r.erasure;

-- Which of these have ended, or are not known.
-- name: over
SELECT id FROM unnest($1::uuid[]) AS asked (id) LEFT JOIN {requests} ON erasure = id
WHERE erasure IS NULL OR completed_at IS NOT NULL;

-- How far these have got.
-- name: status
SELECT r.erasure, r.creator_id, r.requested_at, r.{deleted} AS deleted_at, r.ordered_at, r.taken_at, r.completed_at,
    r.dropped >= r.drops AS dropped, count(s.subject) AS subjects,
    coalesce(bool_and(s.noted), true) AS noted, coalesce(sum(s.events), 0)::bigint AS events
FROM {requests} AS r LEFT JOIN erased_subject AS s USING (erasure)
WHERE r.erasure = ANY ($1::uuid[]) GROUP BY r.erasure;
