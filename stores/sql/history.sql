-- The history: every applied interaction, sealed as it stands in the journal, and the exact dedupe.

-- Only the duplicates come back: rare, so the common case returns nothing (3 us per event less).
-- name: insert
WITH fresh AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::bigint[], $5::bigint[],
        $6::boolean[], $7::bytea[], $8::boolean[])
        AS f (subject, event_key, partition, "offset", time, message, body, indirect)
), inserted AS (
    INSERT INTO interaction
        (subject, event_key, partition, "offset", time, message, body, indirect)
    SELECT * FROM fresh
    ON CONFLICT DO NOTHING
    RETURNING subject, event_key
)
SELECT subject, event_key FROM fresh EXCEPT ALL SELECT subject, event_key FROM inserted;

-- What could not be folded once and can be now: it takes its place in the history, before an equal
-- event that came after it.
-- name: restore
INSERT INTO interaction AS i
    (subject, event_key, partition, "offset", time, message, body, indirect)
SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::int[], $4::bigint[], $5::bigint[],
    $6::boolean[], $7::bytea[], $8::boolean[])
ON CONFLICT (subject, event_key) DO UPDATE SET partition = excluded.partition,
    "offset" = excluded."offset", time = excluded.time, message = excluded.message,
    body = excluded.body, indirect = excluded.indirect
WHERE excluded."offset" < i."offset";

-- What came after these and is the same event under the key of another release; never a message.
-- name: remove_later
DELETE FROM interaction AS i
USING unnest($1::uuid[], $2::bytea[], $3::bigint[]) AS w (subject, event_key, "offset")
WHERE i.subject = w.subject AND i.event_key = w.event_key AND i."offset" > w."offset"
    AND NOT i.message AND NOT i.indirect;

-- The places of the events that were folded live: of equal events the first one.
-- name: applied_offsets
SELECT "offset" FROM interaction WHERE partition = $1 AND "offset" >= $2 AND "offset" < $3;

-- Events that are no messages, as they stand.
-- name: bodies
SELECT i.subject, i.event_key, i.partition, i."offset", i.body
FROM unnest($1::uuid[], $2::bytea[]) AS w (subject, event_key)
JOIN interaction AS i USING (subject, event_key) WHERE NOT i.message AND NOT i.indirect;
