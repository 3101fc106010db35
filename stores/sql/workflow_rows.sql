-- One workflow's row.

-- The row as its worker knows it.
-- name: own
SELECT * FROM workflow WHERE workflow = $1 AND epoch = $2 AND leased FOR UPDATE;

-- The row, for its creator, or for an operator (no creator is named).
-- name: lock
SELECT * FROM workflow WHERE workflow = $1 AND ($2::text IS NULL OR creator_id = $2) FOR UPDATE;

-- The row as it stands after a move. It is nobody's until it is claimed again.
-- name: save
UPDATE workflow SET state = $2, reason = $3, waits_for = $4,
    due = least(coalesce($6::timestamptz, clock_timestamp() + $5::float8 * interval '1 second'),
        $7::timestamptz),
    leased = false, epoch = epoch + 1, failures = $8, subject = $9, waiting_since = $10,
    intent = $11, draft = $12, flagged = $13, approved = $14, place = $15, parts_sent = $16,
    told = $17, deadline = $18, changed_at = clock_timestamp()
WHERE workflow = $1;

-- The first of a recipient's line, now that another one has left it.
-- name: wake_next
UPDATE workflow SET due = clock_timestamp() WHERE workflow = (
    SELECT workflow FROM workflow
    WHERE subject = $1 AND state = 'approved' AND workflow <> $2 AND NOT leased
        AND waits_for = 'line'
    -- Locked by its worker: it looks by itself.
    ORDER BY place LIMIT 1 FOR UPDATE SKIP LOCKED
);

-- To whoever listens, when the transaction commits.
-- name: wake
SELECT pg_notify($1, '');
