-- Sends: one at a time for each recipient.

-- The clock that everything about sends goes by.
-- name: sending_now
SELECT clock_timestamp();

-- The version that was approved.
-- name: approved_draft
SELECT version, body, memory FROM draft WHERE workflow = $1 AND version = $2;

-- When a creator wants nothing to be sent.
-- name: quiet_hours
SELECT zone, quiet_from, quiet_until FROM creator_rule WHERE creator_id = $1;

-- A recipient to whom nothing was sent yet.
-- name: make_slot
INSERT INTO send_slot (subject, free_at) VALUES ($1, '-infinity') ON CONFLICT DO NOTHING;

-- The recipient's slot, for one transaction at a time.
-- name: lock_slot
SELECT workflow, greatest(free_at, '1970-01-01') AS free_at FROM send_slot
WHERE subject = $1 FOR UPDATE;

-- Whether something was approved earlier for this recipient that may go out now, too.
-- name: has_before
SELECT EXISTS (
    SELECT FROM workflow
    WHERE subject = $1 AND place < $2 AND state IN ('approved', 'sending')
        AND (not_before IS NULL OR not_before <= clock_timestamp())
);

-- The send that is under way.
-- name: take_slot
UPDATE send_slot SET workflow = $2 WHERE subject = $1;

-- It has ended; the next may begin $3 seconds later.
-- name: free_slot
UPDATE send_slot SET workflow = NULL,
    free_at = greatest(free_at, CASE WHEN $3::float8 > 0
        THEN clock_timestamp() + $3::float8 * interval '1 second' ELSE '-infinity' END)
WHERE subject = $1 AND workflow = $2;

-- When the next may begin.
-- name: free_at
SELECT free_at FROM send_slot WHERE subject = $1;

-- The state that is committed before the call is made. The lease is not renewed.
-- name: sends
UPDATE workflow SET state = 'sending', reason = NULL, waits_for = NULL,
    send_began = clock_timestamp(), changed_at = clock_timestamp(),
    due = clock_timestamp() + $2::float8 * interval '1 second'
WHERE workflow = $1 RETURNING send_began;

-- Who approved, by the number of the decision.
-- name: approver
SELECT user_id FROM decision WHERE decision = $1;

-- The first of a recipient's line looks when the slot is free.
-- name: wake_line
UPDATE workflow SET due = greatest(clock_timestamp(), (
    SELECT free_at FROM send_slot WHERE subject = $1
))
WHERE workflow = (
    SELECT workflow FROM workflow
    WHERE subject = $1 AND state = 'approved' AND waits_for = 'line' AND NOT leased
    ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED
);
