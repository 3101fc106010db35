-- The history: every applied interaction, sealed as it stands in the journal, and the exact dedupe.

-- Only the duplicates come back: rare, so the common case returns nothing (3 us per event less).
-- name: insert
WITH fresh AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::bigint[], $5::bigint[],
        $6::boolean[], $7::bytea[], $8::boolean[], $9::boolean[], $10::boolean[])
        AS f (subject, event_key, partition, "offset", time, message, body, indirect, note, told)
), inserted AS (
    INSERT INTO interaction
        (subject, event_key, partition, "offset", time, message, body, indirect, note, told)
    SELECT * FROM fresh
    ON CONFLICT DO NOTHING
    RETURNING subject, event_key
)
SELECT subject, event_key FROM fresh EXCEPT ALL SELECT subject, event_key FROM inserted;

-- What could not be folded once and can be now: it takes its place in the history, before an equal
-- event that came after it.
-- name: restore
INSERT INTO interaction AS i
    (subject, event_key, partition, "offset", time, message, body, indirect, note, told)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::bigint[], $5::bigint[],
    $6::boolean[], $7::bytea[], $8::boolean[], $9::boolean[], $10::boolean[])
ON CONFLICT (subject, event_key) DO UPDATE SET partition = excluded.partition,
    "offset" = excluded."offset", time = excluded.time, message = excluded.message,
    body = excluded.body, indirect = excluded.indirect, note = excluded.note, told = excluded.told
WHERE excluded."offset" < i."offset";

-- What came after these and is the same event under the key of another release; never a message.
-- name: remove_later
DELETE FROM interaction AS i
USING unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS w (subject, event_key, "offset")
WHERE i.subject = w.subject AND i.event_key = w.event_key AND i."offset" > w."offset"
    AND NOT i.message AND NOT i.indirect;

-- What stands for forgotten events, in their place.
-- name: bury
INSERT INTO interaction AS i
    (subject, event_key, partition, "offset", time, message, body, indirect, note, told)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::bigint[], $5::bigint[],
    $6::boolean[], $7::bytea[], $8::boolean[], $9::boolean[], $10::boolean[])
ON CONFLICT (subject, event_key) DO UPDATE SET time = excluded.time, message = excluded.message,
    body = excluded.body, indirect = excluded.indirect, note = excluded.note, told = excluded.told, edited_by = NULL;

-- Which of these events a fan has.
-- name: holds
SELECT event_key FROM interaction WHERE subject = $1 AND event_key = ANY ($2::bytea[]);

-- Which of these, each of another fan, there are.
-- name: who_hold
SELECT i.subject FROM unnest($1::uuid[], $2::bytea[]) AS w (subject, event_key)
JOIN interaction AS i USING (subject, event_key);

-- Some events of a fan.
-- name: remove
DELETE FROM interaction WHERE subject = $1 AND event_key = ANY ($2::bytea[]);

-- How many rows each of these fans has, counted up to a bound.
-- name: sizes
SELECT s.creator_id, s.fan_id, (
    SELECT count(*) FROM (SELECT FROM interaction AS i WHERE i.subject = s.subject LIMIT $3) AS counted
) AS rows
FROM unnest($1::text[], $2::text[]) AS x (creator_id, fan_id)
JOIN subject AS s ON s.creator_id = x.creator_id AND s.fan_id = x.fan_id;

-- Everything of some subjects; how many rows each had.
-- name: delete
WITH gone AS (DELETE FROM interaction WHERE subject = ANY ($1::uuid[]) RETURNING subject)
SELECT subject, count(*) AS rows FROM gone GROUP BY subject;

-- The places of the events that were folded live: of equal events the first one.
-- name: applied_offsets
SELECT "offset" FROM interaction WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3;

-- Events that are no messages, as they stand.
-- name: bodies
SELECT i.subject, i.event_key, i.partition, i."offset", i.body
FROM unnest($1::uuid[], $2::bytea[]) AS w (subject, event_key)
JOIN interaction AS i USING (subject, event_key) WHERE NOT i.message AND NOT i.indirect;

-- Whether a fan has $3 entries, or more than $4 bytes of them, below an offset; no more are looked at. The length
-- of a body is known without reading it.
-- name: is_beyond
SELECT count(*) >= $3 OR coalesce(sum(octet_length(body)), 0) > $4
FROM (SELECT body FROM interaction WHERE subject = $1 AND "offset" < $2 LIMIT $3) AS bodies;

-- Of these events those that are new to a fan who has $3 entries, or more than $4 bytes of them.
-- name: too_long
SELECT w.subject, w.event_key FROM unnest($1::uuid[], $2::bytea[]) AS w (subject, event_key)
CROSS JOIN LATERAL (
    SELECT count(*) AS entries, coalesce(sum(octet_length(body)), 0)::bigint AS bytes
    FROM (SELECT body FROM interaction AS i WHERE i.subject = w.subject LIMIT $3) AS bodies
) AS weighed
WHERE (weighed.entries >= $3 OR weighed.bytes > $4) AND NOT EXISTS (
    SELECT FROM interaction AS k WHERE k.subject = w.subject AND k.event_key = w.event_key
);

-- The whole histories of some fans, below an offset if there is one.
-- name: read
SELECT subject, event_key, partition, "offset", body, message, indirect, edited_by, note, told
FROM interaction WHERE subject = ANY ($1::uuid[]) AND ($2::bigint IS NULL OR "offset" < $2)
ORDER BY subject, "offset", time, event_key;

-- What a correction has decided about some rows.
-- name: correct
UPDATE interaction AS i
SET message = w.message, indirect = w.indirect, edited_by = w.edited_by, note = w.note, told = w.told
FROM unnest($1::uuid[], $2::bytea[], $3::boolean[], $4::boolean[], $5::bytea[], $6::boolean[], $7::boolean[])
    AS w (subject, event_key, message, indirect, edited_by, note, told)
WHERE i.subject = w.subject AND i.event_key = w.event_key;

-- Events as they stand, each by its primary key.
-- name: bodies_of
SELECT i.subject, i.event_key, i.body
FROM unnest($1::uuid[], $2::bytea[]) AS w (subject, event_key)
JOIN interaction AS i USING (subject, event_key);
