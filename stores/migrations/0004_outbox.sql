-- What is still to be told on Kafka, whatever the topic: written in the transaction that it tells of,
-- deleted once the broker has it. The former table `outbox` stays for workers of the former version.
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
