-- Requests, of either kind: erasures (`erasure.sql`) and forgettings (`forgetting.sql`), whose table is
-- {requests}.

-- The cache has to forget once more.
-- name: drop_again
UPDATE {requests} SET drops = drops + 1 WHERE erasure = $1;

-- One worker at a time, until its transaction ends.
-- name: lock
SELECT pg_try_advisory_xact_lock($1);

-- Where orders were written.
-- name: ordered
UPDATE {requests} AS r SET ordered_at = clock_timestamp(), partition = x.partition, "offset" = x."offset"
FROM unnest($1::uuid[], $2::int[], $3::bigint[]) AS x (erasure, partition, "offset")
WHERE r.erasure = x.erasure AND r.taken_at IS NULL;

-- The ledger has these.
-- name: noted
UPDATE erased_subject SET noted = true WHERE subject = ANY ($1::uuid[]);

-- The cache has confirmed.
-- name: dropped
UPDATE {requests} AS r SET dropped = greatest(r.dropped, x.drops)
FROM unnest($1::uuid[], $2::int[]) AS x (erasure, drops) WHERE r.erasure = x.erasure;

-- Of these what nothing is left to do for. Whom or what it named is not needed any more.
-- name: complete
UPDATE {requests} AS r SET completed_at = clock_timestamp(), kek = NULL, sealed = NULL
WHERE r.erasure = ANY ($1::uuid[]) AND r.completed_at IS NULL AND r.taken_at IS NOT NULL
    AND r.dropped >= r.drops
    AND NOT EXISTS (SELECT FROM erased_subject AS s WHERE s.erasure = r.erasure AND NOT s.noted);

-- Which of these have ended, or are not known.
-- name: over
SELECT id FROM unnest($1::uuid[]) AS asked (id) LEFT JOIN {requests} ON erasure = id
WHERE erasure IS NULL OR completed_at IS NOT NULL;

-- How far one has got.
-- name: status
SELECT r.erasure, r.creator_id, r.requested_at, r.ordered_at, r.taken_at, r.completed_at,
    r.dropped >= r.drops AS dropped, count(s.subject) AS subjects,
    coalesce(bool_and(s.noted), true) AS noted, coalesce(sum(s.events), 0)::bigint AS events
FROM {requests} AS r LEFT JOIN erased_subject AS s USING (erasure)
WHERE r.erasure = $1 GROUP BY r.erasure;
