-- The states of the fans: one row per subject. {generation} is the schema of one generation.

-- The states of some fans, as they stand.
-- name: read
SELECT subject, version, state FROM {generation}.fan_state WHERE subject = ANY ($1::uuid[]);

-- New states of fans, sorted by subject, against deadlocks.
-- name: write
INSERT INTO {generation}.fan_state AS f (subject, version, state, creator_hash, rank, revenue,
    last_interaction, traits, waiting_since, indexed_version)
SELECT x.*, x.version FROM unnest($1::uuid[], $2::bigint[], $3::bytea[], $4::bigint[],
    $5::double precision[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[])
    AS x (subject, version, state, creator_hash, rank, revenue, last_interaction, traits,
        waiting_since)
ON CONFLICT (subject) DO UPDATE SET version = excluded.version, state = excluded.state,
    creator_hash = excluded.creator_hash, rank = excluded.rank, revenue = excluded.revenue,
    last_interaction = excluded.last_interaction, traits = excluded.traits,
    waiting_since = excluded.waiting_since,
    indexed_version = excluded.indexed_version;

-- States built from what an erasure has meanwhile deleted.
-- name: forget_erased
DELETE FROM {generation}.fan_state AS f
WHERE NOT EXISTS (SELECT FROM subject AS s WHERE s.subject = f.subject);

-- How many fans the generation remembers.
-- name: count
SELECT count(*) FROM {generation}.fan_state;

-- States of fans of whom nothing is left.
-- name: delete
DELETE FROM {generation}.fan_state WHERE subject = ANY ($1::uuid[]) RETURNING subject;

-- Versions of fans whose newest records the journal has lost.
-- name: cap_versions
UPDATE {generation}.fan_state SET version = least(version, $2),
    indexed_version = CASE WHEN indexed_version = version THEN least(version, $2) END
WHERE subject = ANY ($1::uuid[]);

-- Some states whose filter columns are of another version, which nobody else is mending.
-- name: lock_unindexed
SELECT f.subject, s.creator_id, s.fan_id, s.kek, s.wrapped_key,
    (SELECT state <> 'bound' FROM key_binding) AS unbound_opens, f.state
FROM {generation}.fan_state AS f JOIN subject AS s USING (subject)
WHERE f.unindexed
ORDER BY f.subject LIMIT $1 FOR UPDATE OF f SKIP LOCKED;

-- The filter columns of states that are locked.
-- name: index
UPDATE {generation}.fan_state AS f SET creator_hash = x.creator_hash, rank = x.rank,
    revenue = x.revenue, last_interaction = x.last_interaction, traits = x.traits,
    waiting_since = x.waiting_since, indexed_version = f.version
FROM unnest($1::uuid[], $2::bigint[], $3::double precision[], $4::bigint[], $5::bigint[],
    $6::bigint[], $7::bigint[])
    AS x (subject, creator_hash, rank, revenue, last_interaction, traits, waiting_since)
WHERE f.subject = x.subject;

-- The next $2 creators, from $1 on, some of whose fans stand in no index; whether those are more than $3.
-- name: unordered
WITH RECURSIVE creator AS (
    (SELECT creator_hash, 1 AS place FROM {generation}.fan_state
    WHERE ordered IS NULL AND creator_hash >= $1 ORDER BY creator_hash LIMIT 1)
    UNION ALL
    SELECT next.creator_hash, place + 1
    FROM creator CROSS JOIN LATERAL (
        SELECT f.creator_hash FROM {generation}.fan_state AS f
        WHERE f.ordered IS NULL AND f.creator_hash > creator.creator_hash
        ORDER BY f.creator_hash LIMIT 1
    ) AS next
    WHERE place < $2
)
SELECT creator_hash, (
        SELECT count(*) > $3 FROM (
            SELECT FROM {generation}.fan_state AS f
            WHERE f.ordered IS NULL AND f.creator_hash = creator.creator_hash LIMIT $3 + 1
        ) AS counted
    ) AS crowded
FROM creator ORDER BY place;

-- Put some of a creator's fans into the indexes, whom nobody else is writing.
-- name: order
WITH ordered AS (
    UPDATE {generation}.fan_state AS f SET ordered = true
    FROM (
        SELECT subject FROM {generation}.fan_state
        WHERE creator_hash = $1 AND ordered IS NULL LIMIT $2 FOR UPDATE SKIP LOCKED
    ) AS picked
    WHERE f.subject = picked.subject RETURNING 1
)
SELECT count(*) FROM ordered;
