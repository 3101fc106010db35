-- Intents become workflows.

-- Nobody erases the fan from here to the commit: an erasure waits, and then finds the new row.
-- name: keep_subject
SELECT subject FROM subject WHERE subject = $1 FOR KEY SHARE;

-- A new one; nothing comes back when it is there already, in whatever state.
-- name: insert_intent
INSERT INTO workflow (workflow, type, creator_id, user_id, subject, state, priority, due, send,
    platform, deadline, not_before, trace_id, intent)
VALUES ($1, $2, $3, $4, $5, 'received', $6, least(now() + $7::float8 * interval '1 second', $10),
    $8, $9, $10, $11, $12, $13)
ON CONFLICT (workflow) DO NOTHING
RETURNING *;

-- Replies to the same fan that came before this one, and that nobody has approved; messages of
-- campaigns, too, but no drafts of a preview.
-- name: older_replies
SELECT * FROM workflow
WHERE subject = $1 AND workflow <> $2 AND type = 'message_generation'
    AND state IN ('received', 'composing', 'awaiting_approval')
    AND (campaign IS NULL OR member IS NOT NULL)
    AND (created_at, workflow) <= ($3, $2)
ORDER BY workflow FOR UPDATE;

-- Whether there is a newer one; a campaign's message is no reply.
-- name: newer_reply
SELECT EXISTS (
    SELECT FROM workflow
    WHERE subject = $1 AND workflow <> $2 AND type = 'message_generation' AND campaign IS NULL
        AND (created_at, workflow) > ($3, $2)
        AND state NOT IN ('failed', 'cancelled', 'expired', 'superseded')
);
