-- The outbox: what is to be told on Kafka. Its one writer and reader is `stores.outbox`.

-- Ids are given after the caller's position rows are locked: they follow each partition's commits.
-- name: write
INSERT INTO outbox_record (topic, subject, key, value, partition)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::bytea[], $4::bytea[], $5::int[]);

-- One relay at a time for a topic, until the transaction ends.
-- name: lock
SELECT pg_try_advisory_xact_lock($1, hashtext($2));

-- The oldest rows of a topic.
-- name: read
SELECT id, subject, key, value, partition FROM outbox_record
WHERE topic = $1 AND refused IS NULL ORDER BY id LIMIT $2;

-- What the broker has.
-- name: delete
DELETE FROM outbox_record WHERE topic = $1 AND id = ANY ($2::bigint[]);

-- What the broker will never take.
-- name: refuse
UPDATE outbox_record AS o SET refused = x.reason
FROM unnest($2::bigint[], $3::text[]) AS x (id, reason) WHERE o.topic = $1 AND o.id = x.id;

-- What the topic itself would have let go of by now.
-- name: expire
WITH expired AS (
    DELETE FROM outbox_record WHERE topic = $1 AND created_at < now() - $2 * interval '1 ms'
    RETURNING 1
) SELECT count(*) FROM expired;

-- What waits, per topic; counted up to a bound, because it is asked once a second.
-- name: waiting
SELECT topic, count(*) FILTER (WHERE refused IS NULL) AS waiting,
    count(*) FILTER (WHERE refused IS NOT NULL) AS refused,
    coalesce(extract(epoch FROM now() - min(created_at) FILTER (WHERE refused IS NULL)), 0)::float8
        AS oldest_seconds
FROM (
    SELECT topic, refused, created_at FROM outbox_record ORDER BY topic, id LIMIT 100000
) AS oldest
GROUP BY topic ORDER BY topic;

-- What a topic's rows are about.
-- name: keys
SELECT key FROM outbox_record WHERE topic = $1 AND key IS NOT NULL;

-- What a worker of the former version left unpublished.
-- name: take_former
DELETE FROM outbox WHERE partition = ANY ($1::int[]) RETURNING partition, next, updates;
