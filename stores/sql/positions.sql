-- Positions: where each partition stands, and who may move it.

-- Take the partitions over: the former owner is fenced by the new epoch.
-- name: claim
WITH claimed AS (
    INSERT INTO position AS p (generation, topic, partition, epoch)
    SELECT $1, $2, partition, 1 FROM unnest($3::int[]) AS partition ORDER BY partition
    ON CONFLICT (generation, topic, partition) DO UPDATE SET epoch = p.epoch + 1
    RETURNING partition, next, epoch, erasures, sources, marks, acknowledged, counted, boundaries
), noted AS (
    INSERT INTO claim AS c (generation, topic, partition, epoch)
    SELECT $1, $2, partition, epoch FROM claimed
    ON CONFLICT (generation, topic, partition)
    DO UPDATE SET epoch = greatest(c.epoch, excluded.epoch), claimed_at = now()
)
SELECT partition, next, epoch, erasures, sources, marks, acknowledged, counted, boundaries
FROM claimed;

-- End what the session with pid $1 waits for; how many that were.
-- name: terminate_blockers
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM unnest(pg_blocking_pids($1)) AS pid;

-- Positions as they stand, read by their owner.
-- name: reload
SELECT partition, next, epoch, erasures, sources, marks, acknowledged, counted, boundaries
FROM position
WHERE generation = $1 AND topic = $2 AND partition = ANY ($3::int[]);

-- The erasures of these rows, which are held from here on: nobody is erased there until the commit.
-- name: hold_erasures
SELECT partition, erasures FROM position
WHERE generation = $1 AND topic = $2 AND partition = ANY ($3::int[])
ORDER BY partition FOR UPDATE;

-- How many of these subjects there are.
-- name: count_subjects
SELECT count(*) FROM subject WHERE subject = ANY ($1::uuid[]);

-- The fence: moves only rows that are exactly as the caller knows them.
-- name: advance
UPDATE position AS p SET next = x.until, marks = x.marks::bigint[], moved_at = now()
FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
    AS x (partition, base, until, epoch, erasures, marks)
WHERE p.generation = $1 AND p.topic = $2 AND p.partition = x.partition
  AND p.next = x.base AND p.epoch = x.epoch AND p.erasures = x.erasures;

-- The same for ingest, which made records of these subjects: a database that was restored since then
-- may know none of them, with the very same positions.
-- name: advance_written
UPDATE position AS p SET next = x.until, marks = x.marks::bigint[], moved_at = now()
FROM unnest($3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])
    AS x (partition, base, until, epoch, erasures, marks)
WHERE p.generation = $1 AND p.topic = $2 AND p.partition = x.partition
  AND p.next = x.base AND p.epoch = x.epoch AND p.erasures = x.erasures
  AND (SELECT count(*) FROM subject WHERE subject = ANY ($9::uuid[])) = cardinality($9::uuid[]);

-- Puts a row where its log makes sense again: like `advance`, but in either direction.
-- name: send_back
UPDATE position SET next = $7, marks = $8::bigint[], sources = $9::bigint[],
    acknowledged = $10::bigint[], counted = $11, boundaries = $12::bigint[], moved_at = now()
WHERE generation = $1 AND topic = $2 AND partition = $3
  AND next = $4 AND epoch = $5 AND erasures = $6;

-- What the journal acknowledged of an interactions partition.
-- name: acknowledge
UPDATE position SET acknowledged = $4::bigint[]
WHERE generation = $1 AND topic = $2 AND partition = $3;

-- Sends ingest back to write lost journal records (of partition $5) again, and fences it.
-- name: write_again
UPDATE position SET counted = greatest(counted, next), next = least(next, $4), epoch = epoch + 1,
    acknowledged[2 * $5::int + 1] = -1, acknowledged[2 * $5::int + 2] = -1
WHERE generation = $1 AND topic = $2 AND partition = $3;

-- Counts what ingest made of a partition's records.
-- name: count_intake
UPDATE position SET accepted = accepted + $4, dead_letters = dead_letters + $5,
    suppressed = suppressed + $6, control = control + $7
WHERE generation = $1 AND topic = $2 AND partition = $3;

-- Counts what became of a partition's records, and how far its sources were applied.
-- name: count_folded
UPDATE position SET sources = $4::bigint[], applied = applied + $5, duplicates = duplicates + $6,
    repeats = repeats + $7, forgotten = forgotten + $8, quarantined = quarantined + $9,
    conflicts = conflicts + $10
WHERE generation = $1 AND topic = $2 AND partition = $3;

-- Every partition of ingest and of the live generation, for readers.
-- name: statuses
SELECT generation, topic, partition, next, sources, accepted, dead_letters, control, applied,
    duplicates, repeats, forgotten, quarantined, conflicts, suppressed,
    (extract(epoch FROM moved_at) * 1000)::bigint AS moved_ms
FROM position
WHERE generation = 0 OR generation = (SELECT generation FROM generation WHERE status = 'live')
ORDER BY topic, partition;

-- The rows of a build that begins: it may have been begun before.
-- name: begin
INSERT INTO position (generation, topic, partition)
SELECT $1, $2, partition FROM unnest($3::int[]) AS partition
ON CONFLICT DO NOTHING;

-- The rows of one generation.
-- name: rows
SELECT partition, next, epoch, erasures, sources FROM position
WHERE generation = $1 AND topic = $2 ORDER BY partition;

-- The same, held against their writer until the transaction ends.
-- name: lock_rows
SELECT partition, next, epoch, erasures, sources FROM position
WHERE generation = $1 AND topic = $2 ORDER BY partition FOR UPDATE;

-- One row, held against its writer until the transaction ends.
-- name: hold_row
SELECT next FROM position WHERE generation = $1 AND topic = $2 AND partition = $3 FOR UPDATE;

-- Moves a row that only the rebuild writes: nothing else may have moved it meanwhile.
-- name: move_built
UPDATE position SET next = $5, moved_at = now()
WHERE generation = $1 AND topic = $2 AND partition = $3 AND next = $4;

-- Whoever still writes this generation changes nothing from here on.
-- name: fence
UPDATE position SET epoch = epoch + 1 WHERE generation = $1 AND topic = $2;

-- The next generation's rows continue from the former one's epochs, erasures and marks.
-- name: adopt
UPDATE position AS p SET epoch = greatest(p.epoch, x.epoch) + 1, erasures = x.erasures,
    marks = f.marks
FROM unnest($3::int[], $4::bigint[], $5::bigint[]) AS x (partition, epoch, erasures)
JOIN position f ON f.generation = $6 AND f.topic = $2 AND f.partition = x.partition
WHERE p.generation = $1 AND p.topic = $2 AND p.partition = x.partition;

-- The rows of a generation that is dropped, and who claimed them.
-- name: drop
WITH claims AS (DELETE FROM claim WHERE generation = $1)
DELETE FROM position WHERE generation = $1;
