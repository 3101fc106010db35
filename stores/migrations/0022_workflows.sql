-- readers from: 7
-- The LLM agent: intents become drafts, drafts become sends, each accounted for.

-- The keys of creators: what belongs to a creator and to none of their fans is sealed under one.
CREATE TABLE creator_key (
    creator_id  text PRIMARY KEY,
    kek         text NOT NULL,
    wrapped_key bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON creator_key
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();

-- The queue and the state machine. The id is made of creator and intent id, so an intent that comes
-- again is the workflow that is there, for ever: rows are scrubbed, and never deleted.
CREATE TABLE workflow (
    workflow      uuid PRIMARY KEY,
    type          text NOT NULL,
    creator_id    text NOT NULL,
    user_id       text NOT NULL,
    subject       uuid,
    state         text NOT NULL CHECK (state IN ('received', 'composing', 'awaiting_approval',
        'approved', 'sending', 'sent', 'unknown', 'completed', 'failed', 'cancelled', 'expired',
        'superseded')),
    -- Why it ended as it did, or came back to be approved.
    reason        text,
    -- What it waits for.
    waits_for     text,
    priority      smallint NOT NULL,
    -- When it wants attention; null: parked, until something happens to it. Of a leased one when the
    -- lease runs out, so that what its worker lost comes back by itself.
    due           timestamptz,
    leased        boolean NOT NULL DEFAULT false,
    -- Each claim, and whatever takes a workflow from its worker, makes it larger; each write of a
    -- worker names the one that it claimed.
    epoch         bigint NOT NULL DEFAULT 0,
    -- Attempts in this state that ended without an outcome.
    failures      integer NOT NULL DEFAULT 0,
    send          boolean NOT NULL,
    platform      text NOT NULL,
    deadline      timestamptz,
    not_before    timestamptz,
    -- Since when its fan waits for the reply: of what it superseded, too.
    waiting_since timestamptz NOT NULL DEFAULT now(),
    trace_id      text NOT NULL,
    -- The intent, sealed under the subject's key, or the creator's where there is no subject.
    intent        bytea,
    draft         integer NOT NULL DEFAULT 0,
    flagged       boolean NOT NULL DEFAULT false,
    -- The version that was approved, and the decision that did; the decision is its place in the
    -- line of its recipient.
    approved      integer,
    place         bigint,
    -- Messages of the approved draft that have been sent.
    parts_sent    integer NOT NULL DEFAULT 0,
    -- When the last send was begun.
    send_began    timestamptz,
    -- The result was written to the outbox.
    told          boolean NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL DEFAULT now(),
    started_at    timestamptz,
    changed_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);
CREATE INDEX workflow_due ON workflow (due) WHERE due IS NOT NULL;
CREATE INDEX workflow_leased ON workflow (user_id) WHERE leased;
CREATE INDEX workflow_started ON workflow (user_id, started_at) WHERE started_at IS NOT NULL;
CREATE INDEX workflow_listed ON workflow (creator_id, created_at DESC, workflow DESC);
CREATE INDEX workflow_subject ON workflow (subject, place) WHERE subject IS NOT NULL;
CREATE INDEX workflow_halted ON workflow (creator_id) WHERE waits_for = 'halt';

-- What was composed, and each edit of it, sealed like its intent.
CREATE TABLE draft (
    workflow uuid NOT NULL,
    version  integer NOT NULL,
    -- Who edited it; null: it was composed.
    user_id  text,
    body     bytea,
    flags    text[] NOT NULL DEFAULT '{}',
    -- Journal offset of the newest interaction that whoever wrote it knew of.
    memory   bigint,
    -- Characters inserted, deleted or replaced since the version before.
    distance integer,
    made_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workflow, version)
);

-- What people, and rules of theirs, decided.
CREATE TABLE decision (
    decision   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    workflow   uuid NOT NULL,
    version    integer NOT NULL,
    kind       text NOT NULL CHECK (kind IN
        ('approve', 'auto_approve', 'edit', 'reject', 'cancel', 'retry', 'sent', 'not_sent')),
    user_id    text NOT NULL,
    reason     text,
    -- What the reason says beyond the list, sealed.
    text       bytea,
    decided_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX decision_workflow ON decision (workflow, decision);

-- One row per recipient: one send at a time, and when the next may begin.
CREATE TABLE send_slot (
    subject  uuid PRIMARY KEY,
    -- The workflow whose send is under way.
    workflow uuid,
    free_at  timestamptz NOT NULL
);

-- The AI is silent for this fan.
CREATE TABLE hold (
    subject     uuid PRIMARY KEY,
    until       timestamptz NOT NULL,
    cause       text NOT NULL CHECK (cause IN ('hand', 'handoff', 'released')),
    user_id     text,
    changed_at  timestamptz NOT NULL DEFAULT now()
);

-- All sends of a creator stand still; the empty name: everybody's.
CREATE TABLE halt (
    creator_id text PRIMARY KEY,
    user_id    text NOT NULL,
    since      timestamptz NOT NULL DEFAULT now()
);

-- How a creator wants sends to be done.
CREATE TABLE creator_rule (
    creator_id   text PRIMARY KEY,
    zone         text NOT NULL DEFAULT 'UTC',
    -- Minutes of the creator's day between which nothing is sent.
    quiet_from   smallint,
    quiet_until  smallint,
    auto_approve text[] NOT NULL DEFAULT '{}',
    user_id      text NOT NULL,
    changed_at   timestamptz NOT NULL DEFAULT now()
);

-- Every call of a provider: written, with the most that it can cost, before the call is made.
CREATE TABLE usage (
    workflow      uuid NOT NULL,
    call          integer NOT NULL,
    provider      text NOT NULL,
    model         text NOT NULL,
    type          text NOT NULL,
    creator_id    text NOT NULL,
    user_id       text NOT NULL,
    subject       uuid,
    trace_id      text NOT NULL,
    state         text NOT NULL CHECK (state IN ('reserved', 'settled', 'unknown')),
    outcome       text,
    reserved      numeric NOT NULL,
    reserved_tokens bigint NOT NULL,
    cost          numeric,
    input         bigint,
    cached        bigint,
    output        bigint,
    reasoning     bigint,
    estimated     boolean NOT NULL DEFAULT false,
    cache_hit     boolean NOT NULL DEFAULT false,
    price_version text NOT NULL,
    began_at      timestamptz NOT NULL DEFAULT now(),
    duration_ms   bigint,
    PRIMARY KEY (workflow, call)
);
CREATE INDEX usage_creator ON usage (creator_id, began_at);
CREATE INDEX usage_reserved ON usage (began_at) WHERE state = 'reserved';

-- What may be spent; who has no row has the settings' default.
CREATE TABLE budget_limit (
    scope  text NOT NULL CHECK (scope IN ('user', 'creator')),
    id     text NOT NULL,
    period text NOT NULL CHECK (period IN ('day', 'month')),
    money  numeric NOT NULL,
    tokens bigint NOT NULL,
    PRIMARY KEY (scope, id, period)
);

-- What is spent or reserved, by day and month (UTC).
CREATE TABLE budget (
    scope  text NOT NULL CHECK (scope IN ('user', 'creator')),
    id     text NOT NULL,
    period text NOT NULL CHECK (period IN ('day', 'month')),
    starts date NOT NULL,
    money  numeric NOT NULL DEFAULT 0,
    tokens bigint NOT NULL DEFAULT 0,
    -- That 80 % were spent was told.
    warned boolean NOT NULL DEFAULT false,
    PRIMARY KEY (scope, id, period, starts)
);

-- Providers that asked to be left alone, or whose key is no good, for all processes.
CREATE TABLE provider_pause (
    provider text PRIMARY KEY,
    until    timestamptz NOT NULL,
    cause    text NOT NULL,
    -- Of the settings that it was found with: others may try at once.
    settings text NOT NULL DEFAULT ''
);
