-- Receipts: what an erasure or a forgetting has taken, and whether anything of it is left.

-- One that is completed.
-- name: completed
SELECT 'erase' AS kind, creator_id, requested_at, coalesce(erased_at, taken_at) AS erased_at,
    completed_at, cached
FROM erasure
WHERE erasure = $1 AND completed_at IS NOT NULL
UNION ALL
SELECT 'forget', creator_id, requested_at, taken_at, completed_at, cached FROM forgetting
WHERE erasure = $1 AND completed_at IS NOT NULL;

-- Whom it took, and how much.
-- name: subjects
SELECT subject, states, events, quarantined FROM erased_subject WHERE erasure = $1 ORDER BY at, subject;

-- What is left of them in the tables that all generations share.
-- name: left
SELECT (SELECT count(*) FROM subject WHERE subject = ANY ($1::uuid[])) AS subject,
    (SELECT count(*) FROM interaction WHERE subject = ANY ($1::uuid[])) AS interaction,
    (SELECT count(*) FROM quarantine WHERE subject = ANY ($1::uuid[])) AS quarantine,
    (SELECT count(*) FROM outbox_record WHERE subject = ANY ($1::uuid[])) AS outbox_record,
    (SELECT count(*) FROM campaign_member WHERE subject = ANY ($1::uuid[])) AS campaign_member;

-- The states that are left in one generation, whose schema is {generation}.
-- name: states_left
SELECT count(*) FROM {generation}.fan_state WHERE subject = ANY ($1::uuid[]);
