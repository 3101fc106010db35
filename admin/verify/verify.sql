-- What verify compares with its own fold. {generation} is the schema of the live generation.

-- Taken over by every process of the run.
-- name: export_snapshot
SELECT pg_export_snapshot();

-- Whether a fan has moved to a place that the live views have not passed yet.
-- name: moving
SELECT EXISTS (
    SELECT FROM generation AS g JOIN position AS p USING (generation)
    WHERE g.status = 'live' AND p.topic = $1 AND EXISTS (
        SELECT FROM interaction AS i WHERE i.partition = p.partition AND i."offset" >= p.next
    )
);

-- The position rows of one generation; `broken` are those whose log once went backwards.
-- name: positions
SELECT partition, next, epoch, erasures, sources, accepted, dead_letters, suppressed, control,
    applied, duplicates, repeats, forgotten, quarantined, conflicts, boundaries, EXISTS (
        SELECT FROM log_break AS b
        WHERE b.topic = position.topic AND b.partition = position.partition
    ) AS broken
FROM position WHERE generation = $1 AND topic = $2 ORDER BY partition;

-- Every row that stands below an epoch that was once claimed.
-- name: lowered_epochs
SELECT p.topic, p.partition, p.epoch, c.epoch AS claimed
FROM position AS p JOIN claim AS c USING (generation, topic, partition)
WHERE p.epoch < c.epoch ORDER BY p.topic, p.partition;

-- A choice that stays the same from run to run.
-- name: sample_subjects
SELECT subject FROM subject ORDER BY sha256(uuid_send(subject)) LIMIT $1;

-- The states of these fans, and the columns that they are found by.
-- name: states_of
SELECT subject, version, state, creator_hash, rank, revenue, last_interaction, traits, waiting_since,
    indexed_version = version AS indexed
FROM {generation}.fan_state WHERE subject = ANY ($1::uuid[]);

-- Everything that stands in a fan's rows, as one digest.
-- name: history_of
SELECT subject, count(*) AS rows, sha256(string_agg(event_key || int4send(partition)
    || int8send("offset") || int8send(time) || boolsend(message)
    || boolsend(indirect) || boolsend(note) || boolsend(told) || coalesce(edited_by, ''::bytea) || body,
    ''::bytea ORDER BY event_key)) AS digest
FROM interaction WHERE subject = ANY ($1::uuid[]) GROUP BY subject;

-- How many states each journal partition has: a subject's first bytes choose its partition.
-- name: state_counts
SELECT (('x' || encode(substr(uuid_send(subject), 1, 4), 'hex'))::bit(32)::bigint % $1)::int
    AS partition, count(*) AS rows
FROM {generation}.fan_state GROUP BY 1;

-- How many rows of history each journal partition has.
-- name: history_counts
SELECT partition, count(*) AS rows FROM interaction GROUP BY partition;

-- Everybody who has a state and belongs to one partition.
-- name: state_subjects
SELECT subject FROM {generation}.fan_state
WHERE ('x' || encode(substr(uuid_send(subject), 1, 4), 'hex'))::bit(32)::bigint % $1 = $2;

-- Everybody who has history in one partition.
-- name: history_subjects
SELECT DISTINCT subject FROM interaction WHERE partition = $1;

-- Which of these subjects are known.
-- name: existing_subjects
SELECT subject FROM subject WHERE subject = ANY ($1::uuid[]);
