-- Campaigns: whom they are for, what is begun of them, how they stand.

-- An intent's campaign; its workflow waits for the end of it.
-- name: insert_campaign
WITH parked AS (
    UPDATE workflow SET due = NULL, waits_for = 'campaign' WHERE workflow = $1
)
INSERT INTO campaign (campaign, creator_id, user_id, state, due, send, per_minute, deadline,
    money_max, tokens_max)
VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, $7, $8, $9);

-- The one that has wanted attention longest, leased to the caller.
-- name: claim_campaign
WITH next AS (
    SELECT campaign FROM campaign WHERE due <= clock_timestamp()
    ORDER BY due LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE campaign AS c SET leased = true, epoch = c.epoch + 1,
    due = clock_timestamp() + $1::float8 * interval '1 second',
    -- A lease that ran out: its worker ended without an outcome.
    failures = c.failures + c.leased::int
FROM next WHERE c.campaign = next.campaign
RETURNING c.*;

-- A lease that is still held, for a while longer.
-- name: renew_campaign
UPDATE campaign SET due = clock_timestamp() + $3::float8 * interval '1 second'
WHERE campaign = $1 AND epoch = $2 AND leased;

-- The row as whoever claimed it knows it.
-- name: own_campaign
SELECT * FROM campaign WHERE campaign = $1 AND epoch = $2 AND leased FOR UPDATE;

-- The row, for its creator, or for an operator (no creator is named).
-- name: lock_campaign
SELECT * FROM campaign WHERE campaign = $1 AND ($2::text IS NULL OR creator_id = $2) FOR UPDATE;

-- The row as it stands after a step, or after a word of a person's.
-- name: save_campaign
UPDATE campaign SET state = $2, reason = $3, failures = $4, estimate = $5, members = $6, made = $7,
    dropped = $8, next_at = $9, money_max = $10, tokens_max = $11,
    due = least(coalesce($12::timestamptz, clock_timestamp() + $13::float8 * interval '1 second'),
        CASE WHEN $2 IN ('ready', 'running', 'paused') THEN deadline END),
    leased = false, epoch = epoch + 1,
    started_at = CASE WHEN $2 = 'running' THEN coalesce(started_at, clock_timestamp())
        ELSE started_at END,
    ended_at = CASE WHEN $2 = 'ended' THEN clock_timestamp() END
WHERE campaign = $1;

-- Postgres' clock, which is the one that counts.
-- name: campaign_now
SELECT clock_timestamp();

-- What its messages may do now.
-- name: state_of
SELECT state FROM campaign WHERE campaign = $1;

-- These fans, whom nobody erases from here to the commit.
-- name: keep_fans
SELECT subject FROM subject WHERE creator_id = $1 AND fan_id = ANY ($2::text[])
ORDER BY subject FOR KEY SHARE;

-- Its members, numbered in the order that they are given in.
-- name: add_members
INSERT INTO campaign_member (campaign, number, subject)
SELECT $1, number, subject FROM unnest($2::uuid[]) WITH ORDINALITY AS x (subject, number);

-- The next members, whom nobody erases from here to the commit.
-- name: next_members
SELECT m.number, m.subject FROM campaign_member AS m JOIN subject AS s USING (subject)
WHERE m.campaign = $1 ORDER BY m.number LIMIT $2 FOR KEY SHARE OF s;

-- Their workflows are made: which of them were members still.
-- name: take_members
DELETE FROM campaign_member WHERE campaign = $1 AND number = ANY ($2::int[])
RETURNING number, subject;

-- A message's workflow; there is only ever one of an id.
-- name: insert_child
INSERT INTO workflow (workflow, type, creator_id, user_id, subject, state, priority, due, send,
    platform, deadline, not_before, trace_id, intent, campaign, member)
VALUES ($1, 'message_generation', $2, $3, $4, 'received', $5, least(clock_timestamp(), $8), $6,
    $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (workflow) DO NOTHING;

-- Messages that have not ended.
-- name: open_children
SELECT count(*)::int FROM workflow WHERE campaign = $1
    AND state IN ('received', 'composing', 'awaiting_approval', 'approved', 'sending', 'unknown');

-- Drafts of the preview that are still to be made.
-- name: open_previews
SELECT count(*)::int FROM workflow WHERE campaign = $1 AND member IS NULL
    AND state IN ('received', 'composing', 'awaiting_approval', 'approved', 'sending', 'unknown');

-- What waited for it goes on.
-- name: wake_children
WITH woken AS (
    UPDATE workflow SET due = clock_timestamp()
    WHERE campaign = $1 AND waits_for = 'campaign' AND NOT leased
        AND state IN ('received', 'approved')
    RETURNING 1
)
SELECT count(*)::int FROM woken;

-- Messages that end with their campaign; what is being sent can't be called back.
-- name: children_to_stop
SELECT workflow FROM workflow WHERE campaign = $1
    AND state IN ('received', 'composing', 'awaiting_approval', 'approved')
ORDER BY workflow LIMIT $2;

-- Messages that are being sent.
-- name: sending_children
SELECT count(*)::int FROM workflow WHERE campaign = $1 AND state = 'sending';

-- Nothing is begun for these any more.
-- name: drop_members
WITH gone AS (DELETE FROM campaign_member WHERE campaign = $1 RETURNING 1)
SELECT count(*)::int FROM gone;

-- Whether something else is under way for the fan: a reply, or a message of an earlier campaign.
-- name: is_busy
SELECT EXISTS (
    SELECT FROM workflow
    WHERE subject = $1 AND workflow <> $2 AND type = 'message_generation' AND send
        AND state IN ('received', 'composing', 'awaiting_approval', 'approved', 'sending', 'unknown')
        AND (campaign IS NULL OR (created_at, workflow) < ($3, $2))
);

-- What a call can take at the most is added, if that is within the budget; nothing comes back if not.
-- name: raise_spent
UPDATE campaign SET money = money + $2, tokens = tokens + $3
WHERE campaign = $1 AND (money_max IS NULL OR money + $2 <= money_max)
    AND (tokens_max IS NULL OR tokens + $3 <= tokens_max)
RETURNING warned, greatest(money / nullif(money_max, 0), tokens::numeric / nullif(tokens_max, 0))
    AS share;

-- That 80 % of the budget are spent is told once.
-- name: campaign_warned
UPDATE campaign SET warned = true WHERE campaign = $1;

-- The truth in the place of what was reserved.
-- name: correct_spent
UPDATE campaign SET money = money + $2, tokens = tokens + $3 WHERE campaign = $1;

-- A budget is exhausted: it waits for a person.
-- name: pause_for_budget
UPDATE campaign SET state = 'paused', reason = 'budget', due = deadline, leased = false,
    epoch = epoch + 1
WHERE campaign = $1 AND state = 'running';

-- Campaigns that these fans are to be taken out of, in one order for everybody.
-- name: lock_campaigns_of
SELECT FROM campaign
WHERE campaign IN (SELECT campaign FROM campaign_member WHERE subject = ANY ($1::uuid[]))
ORDER BY campaign FOR UPDATE;

-- The fans leave them.
-- name: leave_campaigns
WITH gone AS (
    DELETE FROM campaign_member WHERE subject = ANY ($1::uuid[]) RETURNING campaign
)
UPDATE campaign AS c SET erased = c.erased + x.members
FROM (SELECT campaign, count(*)::int AS members FROM gone GROUP BY campaign) AS x
WHERE c.campaign = x.campaign;

-- The fan stands under another subject since.
-- name: move_members_of
UPDATE campaign_member SET subject = $2 WHERE subject = $1;

-- A page, the newest first; behind ($2, $3) if they are given.
-- name: list_campaigns
SELECT campaign, created_at FROM campaign
WHERE ($1::text IS NULL OR creator_id = $1)
    AND ($2::timestamptz IS NULL OR (created_at, campaign) < ($2, $3::uuid))
ORDER BY created_at DESC, campaign DESC LIMIT $4;

-- These campaigns, each with its messages counted by state and reason, all of one moment.
-- name: counted
SELECT c.*, w.intent, x.child_state, x.child_reason, coalesce(x.children, 0) AS children
FROM campaign AS c
JOIN workflow AS w ON w.workflow = c.campaign
LEFT JOIN LATERAL (
    SELECT state AS child_state, reason AS child_reason, count(*)::int AS children
    FROM workflow WHERE campaign = c.campaign AND member IS NOT NULL
    GROUP BY state, reason
) AS x ON true
WHERE c.campaign = ANY ($1::uuid[]) AND ($2::text IS NULL OR c.creator_id = $2);

-- Drafts of a preview.
-- name: previews
SELECT w.workflow, s.fan_id FROM workflow AS w LEFT JOIN subject AS s USING (subject)
WHERE w.campaign = $1 AND w.member IS NULL ORDER BY w.created_at, w.workflow;

-- What the cheapest draft of a preview cost, and the most that one of its calls could.
-- name: preview_costs
SELECT min(cost) AS least, max(most) AS most FROM (
    SELECT sum(coalesce(cost, reserved)) AS cost, max(reserved) AS most
    FROM usage JOIN workflow USING (workflow)
    WHERE workflow.campaign = $1 AND workflow.member IS NULL GROUP BY workflow
) AS drafts;

-- What has not ended, for metrics: members still to be begun, and how long the one that has waited
-- longest has wanted an agent.
-- name: open_campaigns
SELECT state, coalesce(reason, '') AS reason, count(*)::int AS campaigns,
    sum(members - made - erased - dropped)::int AS waiting,
    coalesce(extract(epoch FROM now() - min(due) FILTER (WHERE due < now() AND NOT leased)), 0)::float8
        AS overdue_seconds
FROM campaign WHERE state <> 'ended' GROUP BY state, reason;
