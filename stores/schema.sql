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
    PRIMARY KEY (subject, event_key)
);
-- Sealed bytes don't compress.
ALTER TABLE interaction ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX interaction_recent ON interaction (subject, time DESC, "offset" DESC) WHERE message;
CREATE INDEX interaction_indirect ON interaction (subject, time DESC, "offset" DESC) WHERE indirect;
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
ALTER TABLE outbox_pack ALTER COLUMN value SET STORAGE EXTERNAL;
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
    completed_at timestamptz
);
CREATE INDEX erasure_pending ON erasure (requested_at) WHERE completed_at IS NULL;
CREATE INDEX erasure_relationship ON erasure (relationship);

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
    noted       boolean NOT NULL DEFAULT false
);
CREATE INDEX erased_subject_erasure ON erased_subject (erasure);

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

-- Each generation has a schema of its own: g1, g2, ...
CREATE SCHEMA g1;
CREATE TABLE g1.fan_state (
    subject uuid PRIMARY KEY,
    -- Journal offset + 1 of the newest folded record: larger is newer.
    version bigint NOT NULL,
    state   bytea NOT NULL
) WITH (fillfactor = 70);
-- The same for people: the state as jsonb.
CREATE VIEW g1.fan_state_readable AS
SELECT subject, version, convert_from(state, 'UTF8')::jsonb AS state FROM g1.fan_state;
