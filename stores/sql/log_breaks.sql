-- Log breaks: what a log lacked when it was found to have gone backwards.

-- A break that was mended from what is still there.
-- name: record_healed
INSERT INTO log_break (topic, partition, reason, missing_from, missing_until, resume, status,
    settled_at)
VALUES ($1, $2, $3, $4, $5, $6, 'healed', now());

-- What was written before a lost tail was noticed: from where, up to the end of the log by then. Of
-- what a later loss has taken of that, nothing is there: in its place stands what was written again.
-- name: written_ahead
SELECT missing_from AS first, until FROM (
    SELECT missing_from, min(resume) OVER (
        ORDER BY id ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING) AS until
    FROM log_break WHERE topic = $1 AND partition = $2 AND status = 'healed' AND reason = $3
) AS ahead WHERE missing_from < until;

-- A break that stops its partition; found again after a restart it is the same one.
-- name: record_stopped
INSERT INTO log_break (topic, partition, reason, missing_from, missing_until, resume, status)
VALUES ($1, $2, $3, $4, $5, $6, 'stopped')
ON CONFLICT (topic, partition) WHERE status = 'stopped' DO UPDATE SET reason = excluded.reason,
    missing_from = excluded.missing_from, missing_until = excluded.missing_until,
    resume = excluded.resume;

-- What stopped a partition is there again.
-- name: settle
UPDATE log_break SET status = 'healed', settled_at = now()
WHERE topic = $1 AND partition = $2 AND status = 'stopped';

-- Every partition that waits for its operator.
-- name: stopped
SELECT topic, partition, reason, missing_from, missing_until, resume FROM log_break
WHERE status = 'stopped' ORDER BY topic, partition;

-- The operator takes the loss.
-- name: accept
UPDATE log_break SET status = 'accepted', settled_at = now(), settled_by = $3
WHERE topic = $1 AND partition = $2 AND status = 'stopped'
RETURNING topic, partition, reason, missing_from, missing_until, resume;

-- A loss that was accepted before it stopped anything.
-- name: record_accepted
INSERT INTO log_break (topic, partition, reason, missing_from, missing_until, resume, status,
    settled_at, settled_by)
VALUES ($1, $2, $3, $4, $5, $6, 'accepted', now(), $7);

-- Up to where losses were accepted.
-- name: accepted
SELECT partition, max(missing_until) AS until FROM log_break
WHERE topic = $1 AND status = 'accepted' GROUP BY partition;

-- Where a live writer continues after an accepted loss; its log is a new one to it.
-- name: resume
UPDATE position SET counted = greatest(counted, next), next = $3, marks = '{}',
    acknowledged = '{}', epoch = epoch + 1
WHERE topic = $1 AND partition = $2
  AND (generation = 0 OR generation = (SELECT generation FROM generation WHERE status = 'live'));

-- What the views know from a lost stretch of a journal partition stands nowhere in the log now.
-- name: orphan_history
UPDATE interaction SET "offset" = -1 WHERE partition = $1 AND "offset" >= $2
RETURNING subject;
