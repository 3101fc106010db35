-- readers from: 7
-- Campaigns: one workflow for each member of a segment.

-- One row per campaign; its workflow has the same id, and is composed at the end: the report.
CREATE TABLE campaign (
    campaign      uuid PRIMARY KEY,
    creator_id    text NOT NULL,
    user_id       text NOT NULL,
    state         text NOT NULL CHECK (state IN ('previewing', 'ready', 'starting', 'running',
        'paused', 'stopping', 'ended')),
    -- Why it is paused, stopping or ended.
    reason        text,
    -- When it wants attention; of a leased one when the lease runs out; null: it waits for somebody.
    due           timestamptz,
    leased        boolean NOT NULL DEFAULT false,
    -- Each claim, and each word of a person's, makes it larger; each step names the one it claimed.
    epoch         bigint NOT NULL DEFAULT 0,
    -- Steps that ended without an outcome, in a row.
    failures      integer NOT NULL DEFAULT 0,
    send          boolean NOT NULL,
    per_minute    integer NOT NULL,
    deadline      timestamptz,
    -- Members that the preview counted.
    estimate      integer,
    -- Members at the start.
    members       integer NOT NULL DEFAULT 0,
    -- Members whose workflow was made.
    made          integer NOT NULL DEFAULT 0,
    -- Members who were erased before that.
    erased        integer NOT NULL DEFAULT 0,
    -- Members who were left out when it was stopped.
    dropped       integer NOT NULL DEFAULT 0,
    -- When the next workflow may be made.
    next_at       timestamptz NOT NULL DEFAULT now(),
    -- What all its calls may take; null: no limit of its own.
    money_max     numeric,
    tokens_max    bigint,
    -- What they have taken, or reserved.
    money         numeric NOT NULL DEFAULT 0,
    tokens        bigint NOT NULL DEFAULT 0,
    -- That 80 % of it were spent was told.
    warned        boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,
    ended_at      timestamptz
);
CREATE INDEX campaign_due ON campaign (due) WHERE due IS NOT NULL;
CREATE INDEX campaign_listed ON campaign (creator_id, created_at DESC, campaign DESC);

-- Members whose workflow is still to be made; a row goes when it is, and when the fan is erased.
CREATE TABLE campaign_member (
    campaign uuid NOT NULL,
    -- From 1 on; the workflow's id is made of it, so that there is only ever one.
    number   integer NOT NULL,
    subject  uuid NOT NULL,
    PRIMARY KEY (campaign, number)
);
CREATE INDEX campaign_member_subject ON campaign_member (subject);

-- Of a campaign's message: which campaign's, and which member's (null: a draft of the preview).
ALTER TABLE workflow ADD COLUMN campaign uuid, ADD COLUMN member integer;
CREATE INDEX workflow_campaign ON workflow (campaign) WHERE campaign IS NOT NULL;
CREATE INDEX workflow_campaign_open ON workflow (campaign) WHERE campaign IS NOT NULL
    AND state IN ('received', 'composing', 'awaiting_approval', 'approved', 'sending', 'unknown');
