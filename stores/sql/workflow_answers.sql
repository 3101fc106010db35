-- Answers of providers, kept for a day.

-- One, of this creator and fan alone.
-- name: find
SELECT body FROM answer WHERE key = $1 AND creator_id = $2 AND subject IS NOT DISTINCT FROM $3::uuid
    AND until > clock_timestamp();

-- The fan is there, and is not erased before the caller's transaction has ended.
-- name: hold_subject
SELECT true FROM subject WHERE subject = $1 FOR KEY SHARE;

-- The newest counts.
-- name: keep
INSERT INTO answer (key, creator_id, subject, body, until)
VALUES ($1, $2, $3, $4, clock_timestamp() + $5::float8 * interval '1 second')
ON CONFLICT (key) DO UPDATE SET creator_id = excluded.creator_id, subject = excluded.subject,
    body = excluded.body, until = excluded.until;

-- What nobody is to be given again: of a fan, or of the creator for no fan.
-- name: forget
DELETE FROM answer WHERE creator_id = $1 AND subject IS NOT DISTINCT FROM $2::uuid;

-- What is too old.
-- name: sweep
DELETE FROM answer WHERE key IN (
    SELECT key FROM answer WHERE until <= clock_timestamp() ORDER BY until LIMIT $1
    FOR UPDATE SKIP LOCKED
);
