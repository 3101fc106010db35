-- Building the next generation beside the live one. {generation} is the schema of the next.

-- One rebuild at a time in a database; held by the session.
-- name: lock
SELECT pg_try_advisory_lock($1);

-- name: generations
SELECT generation, view_version, status FROM generation ORDER BY generation;

-- name: begin_positions
INSERT INTO position (generation, topic, partition)
SELECT $1, $2, partition FROM unnest($3::int[]) AS partition
ON CONFLICT DO NOTHING;

-- name: positions
SELECT partition, next, epoch, erasures, sources FROM position
WHERE generation = $1 AND topic = $2 ORDER BY partition;

-- Moves a row that only the rebuild writes: nobody else may have moved it meanwhile.
-- name: advance
UPDATE position SET next = $5, sources = $6::bigint[], applied = applied + $7,
    duplicates = duplicates + $8, repeats = repeats + $9, forgotten = forgotten + $10,
    quarantined = quarantined + $11, moved_at = now()
WHERE generation = $1 AND topic = $2 AND partition = $3 AND next = $4;

-- The places of the events that were folded live: of equal events the first one.
-- name: applied_offsets
SELECT "offset" FROM interaction WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3;

-- States built from what an erasure has meanwhile deleted.
-- name: forget_erased
DELETE FROM {generation}.fan_state AS f
WHERE NOT EXISTS (SELECT FROM subject AS s WHERE s.subject = f.subject);

-- name: lock_live_generation
SELECT generation FROM generation WHERE status = 'live' FOR UPDATE;

-- name: lock_positions
SELECT partition, next, epoch, erasures, sources FROM position
WHERE generation = $1 AND topic = $2 ORDER BY partition FOR UPDATE;

-- Whoever still writes the former generation changes nothing from here on.
-- name: fence
UPDATE position SET epoch = epoch + 1 WHERE generation = $1 AND topic = $2;

-- name: adopt
UPDATE position AS p SET epoch = greatest(p.epoch, x.epoch) + 1, erasures = x.erasures
FROM unnest($3::int[], $4::bigint[], $5::bigint[]) AS x (partition, epoch, erasures)
WHERE p.generation = $1 AND p.topic = $2 AND p.partition = x.partition;

-- name: retire
UPDATE generation SET status = 'former' WHERE generation = $1 AND status = 'live';

-- name: promote
UPDATE generation SET status = 'live', live_at = now() WHERE generation = $1 AND status = 'building';

-- name: drop_schema
DROP SCHEMA IF EXISTS {generation} CASCADE;

-- name: drop_positions
DELETE FROM position WHERE generation = $1;

-- name: drop_generation
DELETE FROM generation WHERE generation = $1 AND status <> 'live';

-- name: count_fans
SELECT count(*) FROM {generation}.fan_state;

-- What could not be opened or folded when it was live.
-- name: quarantined_offsets
SELECT "offset" FROM quarantine WHERE partition = $1 AND "offset" < $2;

-- It can be now: it takes its place in the history, before an equal event that came after it.
-- name: restore_history
INSERT INTO interaction AS i (subject, event_key, partition, "offset", time, message, body)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::bigint[], $5::bigint[],
    $6::boolean[], $7::bytea[])
ON CONFLICT (subject, event_key) DO UPDATE SET partition = excluded.partition,
    "offset" = excluded."offset", time = excluded.time, message = excluded.message,
    body = excluded.body
WHERE excluded."offset" < i."offset";

-- name: release
DELETE FROM quarantine WHERE partition = $1 AND "offset" = ANY ($2::bigint[]);
