-- Attempts: how often a unit of work was begun without success, for `stores.attempts`.

-- Count a claim of each partition; one whose position moved since the last claim begins at one.
-- name: claimed
INSERT INTO unit_attempt AS a (generation, topic, partition, next, claims)
SELECT $1, $2, partition, next, 1
FROM unnest($3::int[], $4::bigint[]) AS x (partition, next) ORDER BY partition
ON CONFLICT (generation, topic, partition) DO UPDATE SET
    claims = CASE WHEN a.next = excluded.next THEN a.claims + 1 ELSE 1 END,
    alone = CASE WHEN a.next = excluded.next THEN a.alone ELSE 0 END,
    next = excluded.next
RETURNING partition, claims;

-- Take back a claim of each partition, and whether (0 or 1) a process may end with its record there.
-- name: withdraw
UPDATE unit_attempt AS a
SET claims = greatest(a.claims - 1, 0), alone = greatest(a.alone - x.alone, 0)
FROM unnest($3::int[], $4::bigint[], $5::int[]) AS x (partition, next, alone)
WHERE a.generation = $1 AND a.topic = $2 AND a.partition = x.partition AND a.next = x.next;

-- Say that the record at a place is done by itself; how many processes have ended with it.
-- name: begin
UPDATE unit_attempt
SET alone = CASE WHEN next = $4 THEN alone ELSE 0 END, next = $4
WHERE generation = $1 AND topic = $2 AND partition = $3
RETURNING alone;

-- Count a process that may end with the record at a place.
-- name: at_risk
UPDATE unit_attempt SET alone = alone + 1
WHERE generation = $1 AND topic = $2 AND partition = $3 AND next = $4;

-- Take that back: it has not ended.
-- name: take_back
UPDATE unit_attempt SET alone = greatest(alone - 1, 0)
WHERE generation = $1 AND topic = $2 AND partition = $3 AND next = $4;
