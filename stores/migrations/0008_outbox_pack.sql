-- readers from: 7
-- What is still to be told on Kafka, many records to a row: a row for each moved fan cost as much of
-- Postgres as the fan's state. `outbox_record` stays for what the broker refuses, and for workers of
-- the former release, which don't know this table.
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
