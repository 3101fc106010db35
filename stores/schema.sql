-- The whole schema, as the migrations leave it: for reading. `fanmemory migrate` makes it, and
-- `tests/stores/test_migrate.py` holds the two equal. Times of events are milliseconds since 1970 UTC (bigint); `timestamptz`
-- columns say when this database did something.

-- Which migrations were applied; an edited one is noticed by its digest.
CREATE TABLE migration (
    number       integer PRIMARY KEY,
    name         text NOT NULL,
    sha256       text NOT NULL,
    applied_at   timestamptz NOT NULL DEFAULT now(),
    readers_from integer  -- the oldest code that may run on it, by that code's newest migration
);

-- One complete build of all views. Exactly one is live; rebuild makes the next beside it.
CREATE TABLE generation (
    generation   integer PRIMARY KEY,
    view_version text NOT NULL,
    status       text NOT NULL CHECK (status IN ('building', 'live', 'former')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    live_at      timestamptz,
    -- A fan's place in the journal depends on the count, so it never changes.
    journal_partitions integer
);
CREATE UNIQUE INDEX generation_live ON generation ((true)) WHERE status = 'live';

-- How far each partition has got, and the fence: whoever moves `next` must know the row's epoch
-- and erasures. Generation 0 is ingest (topic interactions); the others are builds of the views.
CREATE TABLE position (
    generation   integer NOT NULL,
    topic        text NOT NULL,
    partition    integer NOT NULL,
    next         bigint NOT NULL DEFAULT 0,
    epoch        bigint NOT NULL DEFAULT 0,
    erasures     bigint NOT NULL DEFAULT 0,
    -- sources[p + 1]: highest offset of interactions partition p that was folded here.
    sources      bigint[] NOT NULL DEFAULT '{}',
    -- What became of the records below `next`. Ingest counts accepted, dead_letters and
    -- suppressed, a build the others: accepted = applied + duplicates + conflicts + forgotten + quarantined; repeats are
    -- extra.
    accepted     bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    applied      bigint NOT NULL DEFAULT 0,
    duplicates   bigint NOT NULL DEFAULT 0,
    repeats      bigint NOT NULL DEFAULT 0,
    forgotten    bigint NOT NULL DEFAULT 0,
    quarantined  bigint NOT NULL DEFAULT 0,
    -- When the position was last moved.
    moved_at     timestamptz NOT NULL DEFAULT now(),
    -- (offset, checksum, time) of some records below `next`; the last is the newest record read.
    marks        bigint[] NOT NULL DEFAULT '{}',
    -- Of ingest, (offset, source offset) per journal partition: its last acknowledged record there.
    acknowledged bigint[] NOT NULL DEFAULT '{}',
    -- Of ingest: records below this were counted before it was sent back.
    counted      bigint NOT NULL DEFAULT 0,
    -- Of ingest: where each later log of this name begins. Offsets mean something else from there on.
    boundaries   bigint[] NOT NULL DEFAULT '{}',
    -- Of a build: events of a known identity with other content; they are kept as dead letters.
    conflicts    bigint NOT NULL DEFAULT 0,
    -- Of ingest: orders among the events. sent = accepted + dead_letters + suppressed + control.
    control      bigint NOT NULL DEFAULT 0,
    -- Of ingest: records that were dropped since their fan was suppressed.
    suppressed   bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (generation, topic, partition)
) WITH (fillfactor = 50);

-- How many dead letters there are of each reason, for the metrics.
CREATE TABLE dead_letter_count (
    topic     text NOT NULL,
    -- Of that topic: whoever holds it counts alone.
    partition integer NOT NULL,
    reason    text NOT NULL,
    letters   bigint NOT NULL,
    PRIMARY KEY (topic, partition, reason)
);

-- Dead letters that were published again: they are not offered another time.
CREATE TABLE dead_letter_retried (
    source     text NOT NULL,
    -- Kafka's time of the refused record: after a log was made again its place has another one.
    refused_at text NOT NULL,
    retried_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, refused_at)
);

-- What was refused, or conflicts with a known event, for who asks what became of an event. The newest million, and
-- no longer than the letters' topic keeps them.
CREATE TABLE refused (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Its place in interactions, and Kafka's time of it, ms.
    partition    integer NOT NULL,
    "offset"     bigint NOT NULL,
    refused_at   bigint NOT NULL,
    creator_id   text NOT NULL,
    -- Keyed hashes of creator and fan, and of the event's id; null where none could be read.
    relationship bytea,
    event        bytea,
    field        text NOT NULL,
    reason       text NOT NULL,
    -- Fan, eventId and type, sealed as the letter is, and what under.
    key          text NOT NULL,
    sealed       bytea NOT NULL,
    UNIQUE (partition, "offset", refused_at)
);
CREATE INDEX refused_creator ON refused (creator_id, id);
CREATE INDEX refused_relationship ON refused (relationship, event) WHERE relationship IS NOT NULL;
CREATE INDEX refused_old ON refused (refused_at);
ALTER TABLE refused ALTER COLUMN sealed SET STATISTICS 0;

-- The newest epoch that was claimed of each position row, kept beside the row: `fanmemory verify`
-- holds the two against each other. A row whose epoch was lowered would let a former owner in again.
CREATE TABLE claim (
    generation integer NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    epoch      bigint NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (generation, topic, partition)
);
-- Each time that a log was found to have gone backwards: what it lacked, and what became of it.
CREATE TABLE log_break (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic         text NOT NULL,
    partition     integer NOT NULL,
    reason        text NOT NULL,
    -- Offsets of `topic` that are gone: from, and up to but without.
    missing_from  bigint NOT NULL,
    missing_until bigint NOT NULL,
    -- Where a stopped partition goes on when its loss is accepted.
    resume        bigint NOT NULL,
    status        text NOT NULL CHECK (status IN ('healed', 'stopped', 'accepted')),
    found_at      timestamptz NOT NULL DEFAULT now(),
    settled_at    timestamptz,
    settled_by    text
);
CREATE UNIQUE INDEX log_break_stopped ON log_break (topic, partition) WHERE status = 'stopped';

-- The only place that knows who a subject is. Deleting the row is the erasure.
CREATE TABLE subject (
    subject     uuid PRIMARY KEY,
    creator_id  text NOT NULL,
    fan_id      text NOT NULL,
    kek         text NOT NULL,
    wrapped_key bytea NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE (creator_id, fan_id)
);
-- The planner's statistics would keep values, whoever they were about.
ALTER TABLE subject ALTER COLUMN fan_id SET STATISTICS 0, ALTER COLUMN wrapped_key SET STATISTICS 0;

-- How subjects' keys are wrapped; one row. A bound wrapping names the relationship that the subject
-- stands for, so a swapped or renamed mapping opens nothing.
--   unbound: new keys are wrapped as by the former release, which may still run beside this one
--   binding: `fanmemory keys bind` has begun: new keys are bound, unbound ones still open
--   bound:   it has ended: an unbound wrapping that is put back opens nothing
CREATE TABLE key_binding (
    state      text NOT NULL CHECK (state IN ('unbound', 'binding', 'bound')),
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX key_binding_one ON key_binding ((true));

-- History and exact dedupe: the sealed body as it stands in the journal.
CREATE TABLE interaction (
    subject   uuid NOT NULL,
    event_key bytea NOT NULL,
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    time      bigint NOT NULL,
    message   boolean NOT NULL,
    body      bytea NOT NULL,
    -- A message that is not direct: a mass message, or one of the platform's; `message` is false then.
    indirect  boolean NOT NULL DEFAULT false,
    -- Event key of the edit whose text a message has. What was deleted is neither `message` nor `indirect`.
    edited_by bytea,
    -- What somebody wrote about the fan, as it stands.
    note      boolean NOT NULL DEFAULT false,
    -- It tells facts of the fan, as it stands.
    told      boolean NOT NULL DEFAULT false,
    PRIMARY KEY (subject, event_key)
);
-- Sealed bytes don't compress.
ALTER TABLE interaction ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX interaction_recent ON interaction (subject, time DESC, "offset" DESC) WHERE message;
CREATE INDEX interaction_indirect ON interaction (subject, time DESC, "offset" DESC) WHERE indirect;
CREATE INDEX interaction_note ON interaction (subject, time DESC, "offset" DESC) WHERE note;
CREATE INDEX interaction_told ON interaction (subject, time DESC, "offset" DESC) WHERE told;
CREATE INDEX interaction_place ON interaction (partition, "offset");

-- The outbox of the first release, written by its workers while an update is under way.
CREATE TABLE outbox (
    partition integer NOT NULL,
    next      bigint NOT NULL,
    updates   bytea NOT NULL,
    PRIMARY KEY (partition, next)
);

-- What is still to be told on Kafka, whatever the topic: written in the transaction that it tells of,
-- deleted once the broker has it.
CREATE TABLE outbox_pack (
    topic      text NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    records    integer NOT NULL,
    -- MessagePack: (subject, key, value, partition) of each record, as in `outbox_record`.
    value      bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, id)
);
-- Compressing what is deleted within milliseconds would be wasted.
ALTER TABLE outbox_pack ALTER COLUMN value SET STORAGE EXTERNAL, ALTER COLUMN value SET STATISTICS 0;
-- The same, one record to a row: what the broker refuses, and what a worker of the former release
-- has written.
CREATE TABLE outbox_record (
    topic      text NOT NULL,
    id         bigint GENERATED ALWAYS AS IDENTITY,
    -- Whose record it is; the relay fills in the names, so that none stands here.
    subject    uuid,
    key        bytea,
    value      bytea NOT NULL,
    -- Of the topic; null: the key's.
    partition  integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Why the broker will never take it; such a row is passed over.
    refused    text,
    PRIMARY KEY (topic, id)
);
ALTER TABLE outbox_record ALTER COLUMN key SET STATISTICS 0, ALTER COLUMN value SET STATISTICS 0;
-- How often the unit of work at a partition's position was begun, and its first record alone.
CREATE TABLE unit_attempt (
    generation integer NOT NULL,
    topic      text NOT NULL,
    partition  integer NOT NULL,
    next       bigint NOT NULL,
    claims     integer NOT NULL DEFAULT 0,
    alone      integer NOT NULL DEFAULT 0,
    PRIMARY KEY (generation, topic, partition)
);

-- Records that could not be folded: kept sealed, counted, alarmed.
CREATE TABLE quarantine (
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    subject   uuid,
    reason    text NOT NULL,
    value     bytea NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, "offset")
);

-- Connections to platforms: whose webhooks are taken, and what each delivery is checked with.
CREATE TABLE platform_connection (
    connection text PRIMARY KEY,
    platform   text NOT NULL,
    creator_id text NOT NULL,
    -- The secret and the options, sealed under the keyring and bound to the row's other columns.
    kek        text NOT NULL,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Fans of whom nothing more is to be remembered. Who they are stands nowhere: only a keyed hash.
CREATE TABLE suppression (
    hash  bytea PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);
-- The hash's key, sealed under the keyring, so that it outlives each key of that; one row once there
-- has been a suppression. The revision counts changes, for whoever keeps a copy.
CREATE TABLE suppression_key (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    kek      text NOT NULL,
    sealed   bytea NOT NULL,
    revision bigint NOT NULL DEFAULT 0
);
-- Which records were dropped, as long as `interactions` may hold them: `fanmemory verify` misses none.
CREATE TABLE suppressed_record (
    partition integer NOT NULL,
    "offset"  bigint NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, "offset")
);

-- Erasures: what was asked for, and how far each has got. They outlive those whom they are about.
CREATE TABLE erasure (
    erasure      uuid PRIMARY KEY,
    creator_id   text NOT NULL,
    -- A keyed hash of creator and fan: what of them stands before the order is not written again.
    relationship bytea NOT NULL,
    -- The fan, sealed under the keyring; null once it is completed.
    kek          text,
    sealed       bytea,
    requested_at timestamptz NOT NULL DEFAULT now(),
    -- When and where the order was written to interactions, and when ingest had come to it.
    ordered_at   timestamptz,
    partition    integer,
    "offset"     bigint,
    taken_at     timestamptz,
    -- How often the cache had to forget, and how often it has confirmed.
    drops        integer NOT NULL DEFAULT 1,
    dropped      integer NOT NULL DEFAULT 0,
    completed_at timestamptz,
    -- Under which name, a keyed hash, the cache had the fan: for the look of a receipt.
    cached       bytea,
    -- When all that was held was deleted, after the request was written down; null: not yet, or as part of
    -- ingest's coming to the order (`taken_at`). A former release deletes in the transaction that makes the row.
    erased_at    timestamptz DEFAULT now()
);
CREATE INDEX erasure_pending ON erasure (requested_at) WHERE completed_at IS NULL;
CREATE INDEX erasure_relationship ON erasure (relationship);
ALTER TABLE erasure ALTER COLUMN sealed SET STATISTICS 0;

-- Whom they erased: random ids that stand for nobody any more. An order can find another subject
-- than the request did, made of events that were on their way.
CREATE TABLE erased_subject (
    subject     uuid PRIMARY KEY,
    erasure     uuid NOT NULL,
    at          timestamptz NOT NULL DEFAULT now(),
    -- Rows that were deleted.
    states      integer NOT NULL,
    events      integer NOT NULL,
    quarantined integer NOT NULL,
    -- Whether the topic erasures has it, too.
    noted       boolean NOT NULL DEFAULT false,
    -- Of a subject that somebody stands for under a new one: what the topic erasures is to have of it.
    ledger      bytea
);
CREATE INDEX erased_subject_erasure ON erased_subject (erasure);

-- Forgettings: events of a fan that are to be forgotten, and how far each request has got. Its columns are
-- those of `erasure`; a table of its own, so that no worker of a former release takes one for an erasure.
CREATE TABLE forgetting (
    erasure      uuid PRIMARY KEY,
    creator_id   text NOT NULL,
    -- The order, sealed under the keyring; null once it is completed.
    kek          text,
    sealed       bytea,
    requested_at timestamptz NOT NULL DEFAULT now(),
    -- When and where the order was written to interactions, and when ingest had done it.
    ordered_at   timestamptz,
    partition    integer,
    "offset"     bigint,
    taken_at     timestamptz,
    -- How often the cache had to forget, and how often it has confirmed.
    drops        integer NOT NULL DEFAULT 1,
    dropped      integer NOT NULL DEFAULT 0,
    completed_at timestamptz,
    -- Whether the events were taken out of the views before: the database was restored.
    hidden       boolean NOT NULL DEFAULT false,
    -- Under which name, a keyed hash, the cache had the fan: for the look of a receipt.
    cached       bytea
);
CREATE INDEX forgetting_pending ON forgetting (requested_at) WHERE completed_at IS NULL;
ALTER TABLE forgetting ALTER COLUMN sealed SET STATISTICS 0;

-- Rounds of cleaning after erasures: what was deleted before `up_to` is in no table's file any more,
-- and in no file of the write-ahead log once that begins behind `lsn`.
CREATE TABLE cleaning (
    up_to timestamptz PRIMARY KEY,
    lsn   pg_lsn NOT NULL
);

-- Keys of a day: for dead letters of nobody who is known. Destroyed when their topic has let go of them.
CREATE TABLE day_key (
    day         date PRIMARY KEY,
    kek         text NOT NULL,
    wrapped_key bytea NOT NULL
);

-- How far the topic erasures was applied to this database: a restored one has fallen behind.
CREATE TABLE ledger_position (
    partition integer PRIMARY KEY,
    next      bigint NOT NULL
);

-- Key-encryption keys that were retired: nothing is wrapped by them, and nothing will be.
CREATE TABLE retired_key (
    kek        text PRIMARY KEY,
    retired_at timestamptz NOT NULL DEFAULT now()
);

-- A process that still wraps with such a key, since nobody restarted it, would seal what its owner is
-- about to throw the key away of. It is told to wait, as by a database that is not there, and the
-- watchdog ends it.
CREATE FUNCTION refuse_retired_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM retired_key WHERE kek = NEW.kek) THEN
        RAISE EXCEPTION 'this key was retired: restart this process with the keyring of today'
            USING ERRCODE = 'operator_intervention';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON subject
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON platform_connection
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON suppression_key
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
CREATE TRIGGER refuse_retired_key BEFORE INSERT OR UPDATE OF kek ON erasure
    FOR EACH ROW EXECUTE FUNCTION refuse_retired_key();
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
    changed_at    timestamptz NOT NULL DEFAULT now(),
    -- Of a campaign's message: which campaign's, and which member's (null: a draft of the preview).
    campaign      uuid,
    member        integer
) WITH (fillfactor = 70);
CREATE INDEX workflow_due ON workflow (due) WHERE due IS NOT NULL;
CREATE INDEX workflow_leased ON workflow (user_id) WHERE leased;
CREATE INDEX workflow_started ON workflow (user_id, started_at) WHERE started_at IS NOT NULL;
CREATE INDEX workflow_listed ON workflow (creator_id, created_at DESC, workflow DESC);
CREATE INDEX workflow_subject ON workflow (subject, place) WHERE subject IS NOT NULL;
CREATE INDEX workflow_halted ON workflow (creator_id) WHERE waits_for = 'halt';
CREATE INDEX workflow_campaign ON workflow (campaign) WHERE campaign IS NOT NULL;
CREATE INDEX workflow_campaign_open ON workflow (campaign) WHERE campaign IS NOT NULL
    AND state IN ('received', 'composing', 'awaiting_approval', 'approved', 'sending', 'unknown');

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

-- Answers of providers, for a day: whoever asks the same of the same memory has them without a call.
-- The key is a hash of all that an answer depends on.
CREATE TABLE answer (
    key        bytea PRIMARY KEY,
    creator_id text NOT NULL,
    -- Whom it is about, and sealed for; null: it is of no fan, and sealed for the creator.
    subject    uuid,
    body       bytea NOT NULL,
    until      timestamptz NOT NULL
);
CREATE INDEX answer_until ON answer (until);
CREATE INDEX answer_subject ON answer (subject) WHERE subject IS NOT NULL;

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

-- Providers that asked to be left alone, or whose key is no good, for all processes.
CREATE TABLE provider_pause (
    provider text PRIMARY KEY,
    until    timestamptz NOT NULL,
    cause    text NOT NULL,
    -- Of the settings that it was found with: others may try at once.
    settings text NOT NULL DEFAULT ''
);

-- How long a creator keeps what; who has no row keeps everything.
-- Tokens that are good no more, before they expire: by their own id, or by their user.
CREATE TABLE revocation (
    what         text NOT NULL CHECK (what IN ('token', 'user')),
    -- A hash of the token's id (jti), or of the user's (sub).
    name         bytea NOT NULL,
    -- A user's tokens that were issued until then; null: that one token.
    issued_until timestamptz CHECK ((issued_until IS NULL) = (what = 'token')),
    -- No token that it is about can be valid then, so the row goes.
    forgotten_at timestamptz NOT NULL,
    PRIMARY KEY (what, name)
);
-- How often that has changed: one row.
CREATE TABLE revocation_revision (
    revision bigint NOT NULL
);

-- How long a creator keeps what; who has no row keeps everything.
CREATE TABLE retention (
    creator_id  text PRIMARY KEY,
    -- A fan without events for so many days is erased.
    silent_days integer NOT NULL CHECK (silent_days > 0),
    changed_at  timestamptz NOT NULL DEFAULT now()
);

-- How long a creator keeps the events of a fan.
CREATE TABLE history_retention (
    creator_id   text PRIMARY KEY,
    -- An event older than so many days is forgotten.
    history_days integer NOT NULL CHECK (history_days > 0),
    changed_at   timestamptz NOT NULL DEFAULT now()
);

-- Each generation has a schema of its own: g1, g2, ...
CREATE SCHEMA g1;
CREATE TABLE g1.fan_state (
    subject uuid PRIMARY KEY,
    -- Journal offset + 1 of the newest folded record: larger is newer.
    version bigint NOT NULL,
    -- Sealed (stores/sealing.py).
    state   bytea NOT NULL,
    -- Of the state, to find fans by (views/segments.py). Null where code wrote that knew of none.
    creator_hash     bigint,
    rank             double precision,
    revenue          bigint,
    last_interaction bigint,
    traits           bigint,
    -- The version that these are of; a worker writes them again where it is another.
    indexed_version  bigint,
    -- Of the state, too: ms, 0 where no message waits for an answer.
    waiting_since    bigint,
    -- Whether the fan stands in the indexes of the orders; null: among those of a creator who are
    -- looked at one by one, whose columns no index has, so that an update stays in its page.
    ordered          boolean,
    by_rank          double precision GENERATED ALWAYS AS (CASE WHEN ordered THEN rank END) STORED,
    by_revenue       bigint GENERATED ALWAYS AS (CASE WHEN ordered THEN revenue END) STORED,
    by_last_interaction bigint
        GENERATED ALWAYS AS (CASE WHEN ordered THEN last_interaction END) STORED,
    by_waiting       bigint GENERATED ALWAYS AS
        (CASE WHEN ordered AND waiting_since > 0 THEN -waiting_since END) STORED,
    unindexed        boolean GENERATED ALWAYS AS
        (CASE WHEN indexed_version IS DISTINCT FROM version THEN true END) STORED
) WITH (fillfactor = 70);
CREATE INDEX fan_state_rank ON g1.fan_state (creator_hash, by_rank, subject)
    WHERE by_rank IS NOT NULL;
CREATE INDEX fan_state_revenue ON g1.fan_state (creator_hash, by_revenue, subject)
    WHERE by_revenue IS NOT NULL;
CREATE INDEX fan_state_last_interaction
    ON g1.fan_state (creator_hash, by_last_interaction, subject)
    WHERE by_last_interaction IS NOT NULL;
CREATE INDEX fan_state_waiting ON g1.fan_state (creator_hash, by_waiting, subject)
    WHERE by_waiting IS NOT NULL;
CREATE INDEX fan_state_unordered ON g1.fan_state (creator_hash) WHERE ordered IS NULL;
CREATE INDEX fan_state_unindexed ON g1.fan_state (subject) WHERE unindexed;