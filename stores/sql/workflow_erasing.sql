-- Workflows of fans who are erased.

-- What had not ended ends; its worker, if it has one, is fenced.
-- name: end_workflows_of
UPDATE workflow SET state = 'cancelled', reason = 'erased', waits_for = NULL, due = NULL,
    leased = false, epoch = epoch + 1, told = true, changed_at = clock_timestamp()
WHERE subject = ANY ($1::uuid[]) AND state IN ('received', 'composing', 'awaiting_approval', 'approved',
    'sending', 'unknown')
RETURNING *;

-- What is left of these fans: no text of a draft or of a decision, no time of a message, no silence of the
-- AI, no answer; nobody's name beside costs and intents, which stay.
-- name: scrub
WITH theirs AS (SELECT workflow FROM workflow WHERE subject = ANY ($1::uuid[])),
drafts AS (
    UPDATE draft SET body = NULL, memory = NULL WHERE workflow IN (SELECT workflow FROM theirs)
), decisions AS (
    UPDATE decision SET text = NULL WHERE workflow IN (SELECT workflow FROM theirs)
), costs AS (UPDATE usage SET subject = NULL WHERE subject = ANY ($1::uuid[])),
slots AS (DELETE FROM send_slot WHERE subject = ANY ($1::uuid[])),
holds AS (DELETE FROM hold WHERE subject = ANY ($1::uuid[])),
answers AS (DELETE FROM answer WHERE subject = ANY ($1::uuid[]))
UPDATE workflow SET intent = NULL, subject = NULL, epoch = epoch + 1
WHERE subject = ANY ($1::uuid[]);

-- The fan stands under another subject since.
-- name: move_slot_of
UPDATE send_slot SET subject = $2 WHERE subject = $1;

-- The same of the AI's silence.
-- name: move_hold_of
UPDATE hold SET subject = $2 WHERE subject = $1;

-- The same of costs.
-- name: move_usage_of
UPDATE usage SET subject = $2 WHERE subject = $1;
