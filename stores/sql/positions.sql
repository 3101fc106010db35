-- Positions: where each partition stands, and who may move it.

-- Take the partitions over: whoever held them before is fenced by the new epoch.
-- name: claim
INSERT INTO position AS p (generation, topic, partition, epoch)
SELECT $1, $2, partition, 1 FROM unnest($3::int[]) AS partition ORDER BY partition
ON CONFLICT (generation, topic, partition) DO UPDATE SET epoch = p.epoch + 1
RETURNING partition, next, epoch, erasures, sources;

-- End what the session with pid $1 waits for; how many that were.
-- name: terminate_blockers
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM unnest(pg_blocking_pids($1)) AS pid;

-- name: reload
SELECT partition, next, epoch, erasures, sources FROM position
WHERE generation = $1 AND topic = $2 AND partition = ANY ($3::int[]);

-- The fence: moves only rows that are exactly as the caller knows them.
-- name: advance
UPDATE position AS p SET next = x.until, moved_at = now()
FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    AS x (partition, base, until, epoch, erasures)
WHERE p.generation = $1 AND p.topic = $2 AND p.partition = x.partition
  AND p.next = x.base AND p.epoch = x.epoch AND p.erasures = x.erasures;

-- name: count_intake
UPDATE position SET accepted = accepted + $4, dead_letters = dead_letters + $5
WHERE generation = $1 AND topic = $2 AND partition = $3;

-- name: count_folded
UPDATE position SET sources = $4::bigint[], applied = applied + $5, duplicates = duplicates + $6,
    repeats = repeats + $7, forgotten = forgotten + $8, quarantined = quarantined + $9
WHERE generation = $1 AND topic = $2 AND partition = $3;

-- name: statuses
SELECT generation, topic, partition, next, sources, accepted, dead_letters, applied, duplicates,
    repeats, forgotten, quarantined, (extract(epoch FROM moved_at) * 1000)::bigint AS moved_ms
FROM position
WHERE generation = 0 OR generation = (SELECT generation FROM generation WHERE status = 'live')
ORDER BY topic, partition;

-- name: live_generation
SELECT generation, view_version FROM generation WHERE status = 'live';

-- For a claim: a switch of generations waits for it, and it for a switch.
-- name: lock_live_generation
SELECT generation, view_version FROM generation WHERE status = 'live' FOR SHARE;

-- What code of one view version may read: the live generation, or after a switch to another
-- version the former one as the switch left it, until that code is replaced.
-- name: readable_generation
SELECT generation, status FROM generation WHERE view_version = $1 AND status <> 'building'
ORDER BY status = 'live' DESC, generation DESC LIMIT 1;
