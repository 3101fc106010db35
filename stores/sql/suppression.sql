-- Suppression: fans of whom nothing more is remembered.

-- The hash's key, sealed, and how often the list has changed; no row: nobody ever was suppressed.
-- name: key
SELECT kek, sealed, revision FROM suppression_key;

-- The first suppression brings the key; whoever was first made it.
-- name: make_key
INSERT INTO suppression_key (kek, sealed) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- From now on, or since when it was.
-- name: put
WITH changed AS (UPDATE suppression_key SET revision = revision + 1)
INSERT INTO suppression AS s (hash) VALUES ($1) ON CONFLICT (hash) DO UPDATE SET since = s.since
RETURNING since;

-- Remembered again from now on.
-- name: lift
WITH changed AS (UPDATE suppression_key SET revision = revision + 1)
DELETE FROM suppression WHERE hash = $1 RETURNING since;

-- Since when a fan is.
-- name: since
SELECT since FROM suppression WHERE hash = $1;

-- Which of these are.
-- name: among
SELECT hash FROM suppression WHERE hash = ANY ($1::bytea[]);

-- The newest.
-- name: newest
SELECT hash FROM suppression ORDER BY since DESC LIMIT $1;

-- Records that ingest dropped.
-- name: note_records
INSERT INTO suppressed_record (partition, "offset")
SELECT * FROM unnest($1::int[], $2::bigint[]) ON CONFLICT DO NOTHING;

-- Which of these records were.
-- name: dropped
SELECT partition, "offset" FROM suppressed_record
JOIN unnest($1::int[], $2::bigint[]) AS x (partition, "offset") USING (partition, "offset");

-- Those of them that `interactions` may still hold, by partition.
-- name: records
SELECT partition, "offset" FROM suppressed_record;

-- What `interactions` has let go of by now.
-- name: forget_records
DELETE FROM suppressed_record WHERE at < now() - $1::bigint * interval '1 ms';
