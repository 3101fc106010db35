-- The queue of workflows.

-- One claim after another, until the transaction ends.
-- name: lock_claims
SELECT pg_advisory_xact_lock($1);

-- What wants attention, the longest waiting first, as far as users may have more under way.
-- What is to be sent waits for no limit: it was counted when it was composed.
-- name: claim
WITH running AS (
    SELECT user_id, count(*) AS running FROM workflow
    WHERE leased AND due > clock_timestamp() AND state = 'composing' GROUP BY user_id
), started AS (
    SELECT user_id, count(*) AS started FROM workflow
    WHERE started_at > clock_timestamp() - interval '1 minute' GROUP BY user_id
), ready AS (
    SELECT workflow, user_id, state, started_at, due - priority * interval '20 seconds' AS rank,
        row_number() OVER (PARTITION BY user_id, state IN ('received', 'composing')
            ORDER BY due - priority * interval '20 seconds', workflow) AS nth
    FROM workflow WHERE due <= clock_timestamp()
), chosen AS (
    SELECT workflow, rank FROM ready
    LEFT JOIN running USING (user_id) LEFT JOIN started USING (user_id)
    WHERE state NOT IN ('received', 'composing')
        OR (nth + coalesce(running, 0) <= $3
            AND (started_at IS NOT NULL OR nth + coalesce(started, 0) <= $4))
    ORDER BY rank, workflow LIMIT $1
), locked AS (
    SELECT w.workflow, c.rank FROM workflow AS w JOIN chosen AS c USING (workflow)
    WHERE w.due <= clock_timestamp()
    FOR UPDATE OF w SKIP LOCKED
), claimed AS (
    UPDATE workflow AS w SET leased = true, epoch = w.epoch + 1,
        due = clock_timestamp() + $2::float8 * interval '1 second',
        -- A lease that ran out: its worker ended without an outcome.
        failures = w.failures + w.leased::int,
        state = CASE WHEN w.state = 'received' THEN 'composing' ELSE w.state END,
        started_at = coalesce(w.started_at, CASE WHEN w.state = 'received' THEN clock_timestamp() END)
    FROM locked WHERE w.workflow = locked.workflow
    RETURNING w.*, locked.rank
)
SELECT * FROM claimed ORDER BY rank, workflow;

-- Leases that are still held, for a while longer.
-- name: renew
UPDATE workflow AS w SET due = clock_timestamp() + $3::float8 * interval '1 second'
FROM unnest($1::uuid[], $2::bigint[]) AS x (workflow, epoch)
WHERE w.workflow = x.workflow AND w.epoch = x.epoch AND w.leased AND w.state = 'composing';

-- First of a line, and waiting for one that is not there any more.
-- name: mend_lines
WITH first AS (
    SELECT DISTINCT ON (subject) workflow, waits_for, due FROM workflow
    WHERE subject IN (SELECT subject FROM workflow WHERE waits_for = 'line')
        AND state IN ('approved', 'sending')
    ORDER BY subject, place
), woken AS (
    UPDATE workflow AS w SET due = clock_timestamp() FROM first
    WHERE w.workflow = first.workflow AND w.waits_for = 'line' AND NOT w.leased
        AND (w.due IS NULL OR w.due > clock_timestamp())
    RETURNING 1
)
SELECT count(*) FROM woken;

-- How many there are in each state that is no end, and since when.
-- name: waiting_workflows
SELECT state, count(*)::int,
    coalesce(extract(epoch FROM clock_timestamp() - min(changed_at)), 0)::float8,
    coalesce(greatest(extract(epoch FROM clock_timestamp() - min(due)), 0), 0)::float8
FROM workflow
WHERE state IN ('received', 'composing', 'awaiting_approval', 'approved', 'sending', 'unknown')
GROUP BY state ORDER BY state;
