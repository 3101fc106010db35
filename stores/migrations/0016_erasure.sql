-- readers from: 7
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

-- Of ingest: orders among the events. sent = accepted + dead_letters + control.
ALTER TABLE position ADD COLUMN control bigint NOT NULL DEFAULT 0;
