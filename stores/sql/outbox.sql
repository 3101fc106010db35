-- The outbox: what is to be told on Kafka. Its one writer and reader is `stores.outbox`.

-- Ids are given after the caller's position rows are locked: they follow each partition's commits.
-- name: write
INSERT INTO outbox_pack (topic, records, value, created_at)
SELECT topic, records, value, coalesce(created_at, now())
FROM unnest($1::text[], $2::int[], $3::bytea[], $4::timestamptz[])
    AS x (topic, records, value, created_at);

-- One relay at a time for a topic, until the transaction ends.
-- name: lock
SELECT pg_try_advisory_xact_lock($1, hashtext($2));

-- The oldest packs of a topic, up to the one that reaches $3 bytes.
-- name: read
SELECT id, value FROM (
    SELECT id, value, sum(length(value)) OVER (ORDER BY id) - length(value) AS before
    FROM (SELECT id, value FROM outbox_pack WHERE topic = $1 ORDER BY id LIMIT $2) AS oldest
) AS summed
WHERE before < $3 ORDER BY id;

-- Packs of which the broker has everything.
-- name: delete
DELETE FROM outbox_pack WHERE topic = $1 AND id = ANY ($2::bigint[]);

-- Packs of which it has a part.
-- name: shorten
UPDATE outbox_pack AS o SET records = x.records, value = x.value
FROM unnest($2::bigint[], $3::int[], $4::bytea[]) AS x (id, records, value)
WHERE o.topic = $1 AND o.id = x.id;

-- What the broker will never take: each by itself, for people.
-- name: refuse
INSERT INTO outbox_record (topic, subject, key, value, partition, refused, created_at)
SELECT $1, x.subject, x.key, x.value, x.partition, x.reason, o.created_at
FROM unnest($2::bigint[], $3::uuid[], $4::bytea[], $5::bytea[], $6::int[], $7::text[])
    AS x (id, subject, key, value, partition, reason)
JOIN outbox_pack AS o ON o.topic = $1 AND o.id = x.id;

-- What waits unpacked: of workers of the former release, or refused before and not any more.
-- name: take_singles
WITH oldest AS (
    SELECT id FROM outbox_record WHERE topic = $1 AND refused IS NULL ORDER BY id LIMIT $2
), taken AS (
    DELETE FROM outbox_record AS o USING oldest WHERE o.topic = $1 AND o.id = oldest.id
    RETURNING o.id, o.subject, o.key, o.value, o.partition, o.created_at
)
SELECT topic, subject, key, value, partition, created_at
FROM (SELECT $1 AS topic, * FROM taken) AS named ORDER BY id;

-- What stands here of some subjects.
-- name: forget
DELETE FROM outbox_record WHERE subject = ANY ($1::uuid[]);

-- What the topic itself would have let go of by now.
-- name: expire
WITH packs AS (
    DELETE FROM outbox_pack WHERE topic = $1 AND created_at < now() - $2 * interval '1 ms'
    RETURNING records
), singles AS (
    DELETE FROM outbox_record WHERE topic = $1 AND created_at < now() - $2 * interval '1 ms'
    RETURNING 1
)
SELECT (SELECT coalesce(sum(records), 0) FROM packs) + (SELECT count(*) FROM singles);

-- What waits, per topic; counted up to a bound, because it is asked once a second.
-- name: waiting
SELECT topic, sum(waiting)::bigint AS waiting, sum(refused)::bigint AS refused,
    coalesce(extract(epoch FROM now() - min(since)), 0)::float8 AS oldest_seconds
FROM (
    (SELECT topic, records AS waiting, 0 AS refused, created_at AS since
     FROM outbox_pack ORDER BY topic, id LIMIT 100000)
    UNION ALL
    (SELECT topic, (refused IS NULL)::int, (refused IS NOT NULL)::int,
        CASE WHEN refused IS NULL THEN created_at END
     FROM outbox_record ORDER BY topic, id LIMIT 100000)
) AS oldest
GROUP BY topic ORDER BY topic;

-- Every pack of a topic, the oldest first.
-- name: all_packs
SELECT value FROM outbox_pack WHERE topic = $1 ORDER BY id;

-- Every record of a topic that waits by itself, the oldest first.
-- name: all_singles
SELECT subject, key, value, partition FROM outbox_record WHERE topic = $1 ORDER BY id;

-- What a worker of the first release left unpublished.
-- name: take_former
DELETE FROM outbox WHERE partition = ANY ($1::int[]) RETURNING partition, next, updates;
