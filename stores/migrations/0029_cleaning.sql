-- readers from: 7
-- Rounds of cleaning after erasures: what was deleted before `up_to` is in no table's file any more,
-- and in no file of the write-ahead log once that begins behind `lsn`.
CREATE TABLE cleaning (
    up_to timestamptz PRIMARY KEY,
    lsn   pg_lsn NOT NULL
);
-- Files of the log that were kept for being used again hold what they held, until that was done.
INSERT INTO cleaning
SELECT '-infinity', pg_current_wal_insert_lsn() + pg_size_bytes(current_setting('max_wal_size'))
WHERE EXISTS (SELECT FROM subject);

-- The planner's statistics would keep values of these columns, whoever they were about.
ALTER TABLE subject ALTER COLUMN fan_id SET STATISTICS 0, ALTER COLUMN wrapped_key SET STATISTICS 0;
ALTER TABLE erasure ALTER COLUMN sealed SET STATISTICS 0;
ALTER TABLE forgetting ALTER COLUMN sealed SET STATISTICS 0;
ALTER TABLE outbox_pack ALTER COLUMN value SET STATISTICS 0;
ALTER TABLE outbox_record ALTER COLUMN key SET STATISTICS 0, ALTER COLUMN value SET STATISTICS 0;
-- Lets go of the statistics that there are; of a column it would change how it is stored, too.
ALTER TABLE subject ALTER COLUMN fan_id TYPE text, ALTER COLUMN wrapped_key TYPE bytea;
ALTER TABLE erasure ALTER COLUMN sealed TYPE bytea;
ALTER TABLE forgetting ALTER COLUMN sealed TYPE bytea;
ALTER TABLE outbox_pack ALTER COLUMN value TYPE bytea;
ALTER TABLE outbox_record ALTER COLUMN key TYPE bytea, ALTER COLUMN value TYPE bytea;
ALTER TABLE outbox_pack ALTER COLUMN value SET STORAGE EXTERNAL;
