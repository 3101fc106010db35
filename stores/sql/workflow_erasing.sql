-- Workflows of a fan who is erased.

-- What had not ended ends; its worker, if it has one, is fenced.
-- name: end_workflows_of
UPDATE workflow SET state = 'cancelled', reason = 'erased', waits_for = NULL, due = NULL,
    leased = false, epoch = epoch + 1, told = true, changed_at = clock_timestamp()
WHERE subject = $1 AND state IN ('received', 'composing', 'awaiting_approval', 'approved',
    'sending', 'unknown')
RETURNING *;

-- The drafts' texts.
-- name: scrub_drafts_of
UPDATE draft SET body = NULL, memory = NULL
WHERE workflow IN (SELECT workflow FROM workflow WHERE subject = $1);

-- What people wrote about them.
-- name: scrub_decisions_of
UPDATE decision SET text = NULL
WHERE workflow IN (SELECT workflow FROM workflow WHERE subject = $1);

-- Costs stay; whose fan they were for does not.
-- name: scrub_usage_of
UPDATE usage SET subject = NULL WHERE subject = $1;

-- When the last message was sent.
-- name: drop_slot_of
DELETE FROM send_slot WHERE subject = $1;

-- That the AI was to be silent.
-- name: drop_hold_of
DELETE FROM hold WHERE subject = $1;

-- The intents, and the last trace of whom they were about.
-- name: scrub_workflows_of
UPDATE workflow SET intent = NULL, subject = NULL, epoch = epoch + 1 WHERE subject = $1;

-- The fan stands under another subject since.
-- name: move_slot_of
UPDATE send_slot SET subject = $2 WHERE subject = $1;

-- The same of the AI's silence.
-- name: move_hold_of
UPDATE hold SET subject = $2 WHERE subject = $1;

-- The same of costs.
-- name: move_usage_of
UPDATE usage SET subject = $2 WHERE subject = $1;
