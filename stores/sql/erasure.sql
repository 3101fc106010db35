-- Erasures: deleting what is held of a relationship, and how far each request has got.

-- Requests, before anything is deleted.
-- name: begin
INSERT INTO erasure (erasure, creator_id, relationship, kek, sealed, erased_at)
SELECT *, NULL::timestamptz FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bytea[]);

-- Those of these for which nothing was deleted yet, held against ingest's coming to their orders, which deletes,
-- too: behind that the fan may be a new one. Not those that somebody else deletes for just now.
-- name: hold_unerased
SELECT erasure FROM erasure
WHERE erasure = ANY ($1::uuid[]) AND erased_at IS NULL AND taken_at IS NULL
ORDER BY erasure FOR UPDATE SKIP LOCKED;

-- What was held for these is deleted. Whatever the cache has confirmed before does not count.
-- name: erased
UPDATE erasure SET erased_at = clock_timestamp(), drops = drops + 1 WHERE erasure = ANY ($1::uuid[]);

-- For which nothing was deleted in so many seconds, by whoever was asked; not those that somebody deletes for
-- just now. What is of a later time than now is of before the clock was set back.
-- name: unerased
SELECT erasure, creator_id, kek, sealed FROM erasure
WHERE completed_at IS NULL AND erased_at IS NULL AND taken_at IS NULL
    AND requested_at NOT BETWEEN now() - make_interval(secs => $1) AND now() + interval '1 minute'
ORDER BY requested_at LIMIT $2 FOR UPDATE SKIP LOCKED;

-- Ingest has come to these orders, each of which counts once. One that this database does not know, since it
-- was restored, counts too. Those that count, and whether they had taken anybody before.
-- name: take
INSERT INTO erasure AS e
    (erasure, creator_id, relationship, kek, sealed, partition, "offset", ordered_at, taken_at)
SELECT *, clock_timestamp(), clock_timestamp()
FROM unnest($1::uuid[], $2::text[], $3::bytea[], $4::text[], $5::bytea[], $6::int[], $7::bigint[])
    AS x (erasure)
ORDER BY x.erasure
ON CONFLICT (erasure) DO UPDATE SET ordered_at = coalesce(e.ordered_at, clock_timestamp()),
    partition = excluded.partition, "offset" = excluded."offset", taken_at = clock_timestamp()
WHERE e.taken_at IS NULL
RETURNING erasure, EXISTS (SELECT FROM erased_subject AS s WHERE s.erasure = e.erasure) AS held;

-- Who stands for a relationship now.
-- name: find_subject
SELECT subject FROM subject WHERE creator_id = $1 AND fan_id = $2;

-- The same of several.
-- name: find_subjects
SELECT s.subject, s.creator_id, s.fan_id
FROM unnest($1::text[], $2::text[]) AS x (creator_id, fan_id)
JOIN subject AS s ON s.creator_id = x.creator_id AND s.fan_id = x.fan_id;

-- The fence of journal partitions in every generation, a build included: batches that were opened
-- before change nothing any more. Their writers hold the rows, so this waits for them; in one order, against
-- deadlocks.
-- name: fence
WITH held AS MATERIALIZED (
    SELECT generation, partition FROM position WHERE topic = $1 AND partition = ANY ($2::int[])
    ORDER BY generation, partition FOR UPDATE
)
UPDATE position AS p SET erasures = p.erasures + 1 FROM held
WHERE p.generation = held.generation AND p.topic = $1 AND p.partition = held.partition;

-- Subjects with their keys; not those where somebody else was first.
-- name: delete_subjects
DELETE FROM subject WHERE subject = ANY ($1::uuid[]) RETURNING subject;

-- History of those of these subjects who are no more.
-- name: forget_history
DELETE FROM interaction AS i WHERE i.subject = ANY ($1::uuid[])
    AND NOT EXISTS (SELECT FROM subject AS s WHERE s.subject = i.subject);

-- The same of the quarantine.
-- name: forget_quarantine
DELETE FROM quarantine AS q WHERE q.subject = ANY ($1::uuid[])
    AND NOT EXISTS (SELECT FROM subject AS s WHERE s.subject = q.subject);

-- Whom erasures took.
-- name: took
INSERT INTO erased_subject (subject, erasure, states, events, quarantined, noted)
SELECT *, $6 FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::int[])
ON CONFLICT (subject) DO NOTHING;

-- What is left to do for these.
-- name: unfinished_of
SELECT e.erasure, e.creator_id, e.kek, e.sealed, e.ordered_at IS NULL AS unordered, e.drops,
    e.dropped, ARRAY(
        SELECT s.subject FROM erased_subject AS s WHERE s.erasure = e.erasure AND NOT s.noted
    ) AS unnoted
FROM erasure AS e WHERE e.erasure = ANY ($1::uuid[]) AND e.completed_at IS NULL;

-- What is left to do for all behind deleting: whoever did that has had a second for it. An order that ingest has
-- read past without taking it, or that nobody has met for long, is given again. What is of a later time
-- than now is of before the clock was set back.
-- name: unfinished
SELECT e.erasure, e.creator_id, e.kek, e.sealed, e.taken_at IS NULL AND (
        e.ordered_at IS NULL OR e.ordered_at > now() + interval '1 minute'
        OR e.ordered_at < now() - interval '10 minutes'
        OR e.ordered_at < now() - interval '30 seconds' AND EXISTS (
            SELECT FROM position AS p
            WHERE p.generation = 0 AND p.partition = e.partition AND p.next > e."offset"
        )
    ) AS unordered, e.drops, e.dropped, ARRAY(
        SELECT s.subject FROM erased_subject AS s WHERE s.erasure = e.erasure AND NOT s.noted
    ) AS unnoted
FROM erasure AS e
WHERE e.completed_at IS NULL
    AND (e.taken_at IS NOT NULL
        OR e.erased_at NOT BETWEEN now() - interval '1 second' AND now() + interval '1 minute')
ORDER BY e.requested_at LIMIT $1;

-- What the cache has not confirmed. Before all is deleted it would be filled again.
-- name: undropped
SELECT erasure, creator_id, kek, sealed, false AS unordered, drops, dropped, '{}'::uuid[] AS unnoted
FROM erasure
WHERE completed_at IS NULL AND dropped < drops AND coalesce(erased_at, taken_at) IS NOT NULL
ORDER BY requested_at LIMIT $1;

-- The newest order of each of these that ingest has come to, by partition.
-- name: taken_of
SELECT relationship, partition, max("offset") AS "offset" FROM erasure
WHERE relationship = ANY ($1::bytea[]) AND taken_at IS NOT NULL AND partition IS NOT NULL
GROUP BY relationship, partition;

-- Those of these subjects that were erased.
-- name: erased_among
SELECT subject FROM erased_subject WHERE subject = ANY ($1::uuid[]);

-- How many were erased, by journal partition.
-- name: erased_counts
SELECT (('x' || encode(substr(uuid_send(subject), 1, 4), 'hex'))::bit(32)::bigint % $1)::int
    AS partition, count(*) AS subjects
FROM erased_subject GROUP BY 1;

-- How far the ledger was applied here.
-- name: ledger_positions
SELECT partition, next FROM ledger_position;

-- It was applied up to there.
-- name: move_ledger
INSERT INTO ledger_position AS l (partition, next) SELECT * FROM unnest($1::int[], $2::bigint[])
ON CONFLICT (partition) DO UPDATE SET next = excluded.next;

-- Which of these there are.
-- name: existing
SELECT subject FROM subject WHERE subject = ANY ($1::uuid[]);

-- Who it is.
-- name: who_is
SELECT creator_id, fan_id FROM subject WHERE subject = $1;

-- An erasure that needs no order any more: only the cache has to forget.
-- name: begin_again
INSERT INTO erasure (erasure, creator_id, relationship, kek, sealed, taken_at)
VALUES ($1, $2, $3, $4, $5, now());
