-- The states of the fans: one row per subject. {generation} is the schema of one generation.

-- The states of some fans, as they stand.
-- name: read
SELECT subject, version, state FROM {generation}.fan_state WHERE subject = ANY ($1::uuid[]);

-- New states of fans, sorted by subject, against deadlocks.
-- name: write
INSERT INTO {generation}.fan_state AS f (subject, version, state)
SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::bytea[])
ON CONFLICT (subject) DO UPDATE SET version = excluded.version, state = excluded.state;

-- States built from what an erasure has meanwhile deleted.
-- name: forget_erased
DELETE FROM {generation}.fan_state AS f
WHERE NOT EXISTS (SELECT FROM subject AS s WHERE s.subject = f.subject);

-- How many fans the generation remembers.
-- name: count
SELECT count(*) FROM {generation}.fan_state;

-- States of fans of whom nothing is left.
-- name: delete
DELETE FROM {generation}.fan_state WHERE subject = ANY ($1::uuid[]);

-- Versions of fans whose newest records the journal has lost.
-- name: cap_versions
UPDATE {generation}.fan_state SET version = least(version, $2) WHERE subject = ANY ($1::uuid[]);
