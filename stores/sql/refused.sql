-- What was refused: for who asks what became of an event.

-- More of it; what was read again, since a log went back, is there already.
-- name: insert
INSERT INTO refused
    (partition, "offset", refused_at, creator_id, relationship, event, field, reason, key, sealed)
SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[], $4::text[], $5::bytea[], $6::bytea[],
    $7::text[], $8::text[], $9::text[], $10::bytea[])
ON CONFLICT DO NOTHING;

-- Some of what is older than its letters, or beyond the newest $2.
-- name: trim
DELETE FROM refused WHERE id IN (
    (SELECT id FROM refused WHERE refused_at < $1 ORDER BY refused_at LIMIT $3)
    UNION ALL
    (SELECT id FROM refused WHERE id <= (SELECT max(id) FROM refused) - $2 ORDER BY id LIMIT $3)
);

-- Of one event, the newest first.
-- name: of_event
SELECT id, partition, "offset", refused_at, field, reason, key, sealed FROM refused
WHERE relationship = ANY ($1::bytea[]) AND event = ANY ($2::bytea[]) AND refused_at >= $3
ORDER BY id DESC LIMIT $4;

-- What of a fan stood at one place.
-- name: at_place
SELECT id, partition, "offset", refused_at, field, reason, key, sealed FROM refused
WHERE partition = $1 AND "offset" = $2 AND relationship = ANY ($3::bytea[]) AND refused_at >= $4
ORDER BY id DESC LIMIT 1;

-- A creator's, the newest first, below an id.
-- name: page
SELECT id, partition, "offset", refused_at, field, reason, key, sealed FROM refused
WHERE creator_id = $1 AND id < $2 AND refused_at >= $3 ORDER BY id DESC LIMIT $4;

-- What is of some fans.
-- name: forget
DELETE FROM refused WHERE relationship = ANY ($1::bytea[]);
