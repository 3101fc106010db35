-- What the cache writer asks: who owns a partition, and which fans were folded since it was true.

-- Of the live generation only: a writer of a former one owns nothing any more.
-- name: owners
SELECT p.partition, p.epoch FROM position p JOIN generation g USING (generation)
WHERE g.status = 'live' AND p.generation = $1 AND p.topic = $2 AND p.partition = ANY ($3::int[]);

-- Who was folded at or after a position: the cache may have missed them.
-- name: folded_since
SELECT DISTINCT s.creator_id, s.fan_id FROM interaction i JOIN subject s USING (subject)
WHERE i.partition = $1 AND i."offset" >= $2
LIMIT $3;
