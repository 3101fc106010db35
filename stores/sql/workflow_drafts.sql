-- Drafts, and what was decided about them.

-- Postgres' clock, which is the one that counts.
-- name: now
SELECT clock_timestamp();

-- A workflow whose fan was not known when its intent came.
-- name: belongs
UPDATE workflow SET subject = $2, intent = $3 WHERE workflow = $1;

-- Whether no call was made for it yet.
-- name: is_first_call
SELECT NOT EXISTS (SELECT FROM usage WHERE workflow = $1);

-- The next version of a draft.
-- name: add_draft
INSERT INTO draft (workflow, version, user_id, body, flags, memory, distance)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- One version.
-- name: draft_of
SELECT version, user_id, body, flags, memory, distance, made_at FROM draft
WHERE workflow = $1 AND version = $2;

-- All versions, in order.
-- name: drafts_of
SELECT version, user_id, body, flags, memory, distance, made_at FROM draft
WHERE workflow = $1 ORDER BY version;

-- All decisions, in order.
-- name: decisions_of
SELECT version, kind, user_id, reason, text, decided_at FROM decision
WHERE workflow = $1 ORDER BY decision LIMIT 200;

-- What somebody decided; the number is also the place in the line of the recipient.
-- name: decide
INSERT INTO decision (workflow, version, kind, user_id, reason, text)
VALUES ($1, $2, $3, $4, $5, $6) RETURNING decision;

-- The rule that approves a type by itself.
-- name: auto_approval
SELECT user_id FROM creator_rule WHERE creator_id = $1 AND $2 = ANY (auto_approve);

-- How a creator wants sends to be done.
-- name: rule_of
SELECT zone, quiet_from, quiet_until, auto_approve FROM creator_rule WHERE creator_id = $1;

-- The same, from now on.
-- name: put_rule
INSERT INTO creator_rule (creator_id, zone, quiet_from, quiet_until, auto_approve, user_id)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (creator_id) DO UPDATE SET zone = excluded.zone, quiet_from = excluded.quiet_from,
    quiet_until = excluded.quiet_until, auto_approve = excluded.auto_approve,
    user_id = excluded.user_id, changed_at = clock_timestamp();
