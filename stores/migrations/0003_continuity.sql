-- What a position remembers of its log, so that a log that goes backwards is recognised.
ALTER TABLE position
    -- (offset, checksum, time) of some records below `next`; the last is the newest record read.
    ADD COLUMN marks bigint[] NOT NULL DEFAULT '{}',
    -- Of ingest, (offset, source offset) per journal partition: its last acknowledged record there.
    ADD COLUMN acknowledged bigint[] NOT NULL DEFAULT '{}',
    -- Of ingest: records below this were counted before it was sent back.
    ADD COLUMN counted bigint NOT NULL DEFAULT 0,
    -- Of ingest: where each later log of this name begins. Offsets mean something else from there on.
    ADD COLUMN boundaries bigint[] NOT NULL DEFAULT '{}';

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
