-- When the AI is silent, and what is new.

-- The newest $3 messages, of them those behind an offset of the journal.
-- name: newest_messages
SELECT event_key, "offset", body FROM (
    SELECT event_key, "offset", time, body FROM interaction
    WHERE subject = $1 AND message ORDER BY time DESC, "offset" DESC LIMIT $3
) AS newest
WHERE "offset" > $2 ORDER BY time DESC, "offset" DESC;

-- Whether a send has ended since; the slot is free $3 seconds after one.
-- name: sent_since
SELECT EXISTS (
    SELECT FROM send_slot
    WHERE subject = $1 AND free_at > $2::timestamptz + $3::float8 * interval '1 second'
);

-- The highest offset of the newest messages.
-- name: newest_of
SELECT coalesce(max("offset"), -1) FROM (
    SELECT "offset" FROM interaction
    WHERE subject = $1 AND message ORDER BY time DESC, "offset" DESC LIMIT 50
) AS newest;

-- Drafts of which something was sent, or may have been; the newest first.
-- name: sent_drafts
SELECT w.workflow, d.version, d.body,
    w.parts_sent + (w.state IN ('sending', 'unknown'))::int AS parts
FROM workflow AS w JOIN draft AS d ON d.workflow = w.workflow AND d.version = w.approved
WHERE w.subject = $1 AND w.send_began IS NOT NULL AND d.body IS NOT NULL
ORDER BY w.send_began DESC LIMIT $2;

-- A fan's hold.
-- name: hold_of
SELECT cause, until, changed_at FROM hold WHERE subject = $1;

-- A fan's hold, or the end of it, by hand. Nothing of who is erased: the subject's row is held, so either its
-- erasure waits for us and finds the hold, or we find nobody.
-- name: put_hold
INSERT INTO hold (subject, until, cause, user_id)
SELECT subject, clock_timestamp() + $4::float8 * interval '1 hour', $2, $3
FROM subject WHERE subject = $1 FOR KEY SHARE
ON CONFLICT (subject) DO UPDATE SET until = excluded.until, cause = excluded.cause,
    user_id = excluded.user_id, changed_at = clock_timestamp();

-- A hand-off. The caller holds its workflow's row, which an erasure waits for before it deletes holds.
-- name: hand_off
INSERT INTO hold (subject, until, cause)
VALUES ($1, clock_timestamp() + $2::float8 * interval '1 hour', 'handoff')
ON CONFLICT (subject) DO UPDATE SET until = excluded.until, cause = excluded.cause,
    user_id = excluded.user_id, changed_at = clock_timestamp();

-- All sends of a creator stand still; of everybody for the empty name.
-- name: put_halt
INSERT INTO halt (creator_id, user_id) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- They go on.
-- name: drop_halt
DELETE FROM halt WHERE creator_id = $1;

-- What waited for that; whoever is halted otherwise comes back to wait.
-- name: wake_halted
WITH woken AS (
    UPDATE workflow SET due = clock_timestamp()
    WHERE waits_for = 'halt' AND state = 'approved' AND NOT leased
        AND ($1 = '' OR creator_id = $1)
    RETURNING 1
)
SELECT count(*) FROM woken;

-- Whether a creator's sends stand still.
-- name: is_halted
SELECT EXISTS (SELECT FROM halt WHERE creator_id IN ($1, ''));
