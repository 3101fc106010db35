-- Cleaning: of what was erased nothing is to be left in Postgres' files.

-- Whether an erasure or a forgetting was completed since the last cleaning.
-- name: wanted
SELECT EXISTS (SELECT FROM erasure WHERE completed_at >= up_to)
    OR EXISTS (SELECT FROM forgetting WHERE completed_at >= up_to)
FROM (SELECT coalesce(max(up_to), '-infinity') AS up_to FROM cleaning) AS last;

-- For how many seconds what was erased or forgotten has been in the files; NULL: nothing is.
-- name: unclean
SELECT extract(epoch FROM clock_timestamp() - min(completed_at))::float8
FROM (SELECT coalesce(max(up_to), '-infinity') AS up_to FROM cleaning) AS last, (
    SELECT completed_at FROM erasure UNION ALL SELECT completed_at FROM forgetting
) AS done
WHERE completed_at >= up_to;

-- What the rewritten tables and their indexes take, in bytes.
-- name: size
SELECT sum(pg_total_relation_size(name::regclass))::bigint FROM unnest($1::text[]) AS x (name);

-- The transactions that are under way, those of readers included, and the time before which every
-- other one has ended. The lock is taken as a transaction begins, and its clock is read just before.
-- name: begun
SELECT clock_timestamp() - interval '1 second' AS at, coalesce(array_agg(virtualxid), '{}') AS begun
FROM pg_locks WHERE locktype = 'virtualxid' AND mode = 'ExclusiveLock' AND granted
    AND pid <> pg_backend_pid();

-- How many of these are under way still.
-- name: left
SELECT count(*) FROM pg_locks WHERE locktype = 'virtualxid' AND mode = 'ExclusiveLock' AND granted
    AND virtualxid = ANY ($1::text[]);

-- The oldest of what is still to be told, with names in clear.
-- name: oldest_untold
SELECT least((SELECT min(created_at) FROM outbox_pack), (SELECT min(created_at) FROM outbox_record));

-- For the rest of the session a lock is waited for as long.
-- name: wait_for_locks
SELECT set_config('lock_timeout', $1, false);

-- One table and its indexes, into new files without what was deleted.
-- name: write_anew
VACUUM (FULL) {table};

-- The log goes on in a new file: a message that nobody reads fills the rest of this one. (To switch
-- it takes a right that our roles don't have.)
-- name: fill_log
SELECT pg_logical_emit_message(false, 'fanmemory', repeat('0', (size - (at - '0/0') % size)::int))
FROM (SELECT pg_size_bytes(current_setting('wal_segment_size')) AS size,
    pg_current_wal_insert_lsn() AS at) AS log;

-- The tables are clean of what was deleted before then.
-- name: cleaned
INSERT INTO cleaning (up_to, lsn) VALUES ($1, pg_current_wal_insert_lsn()) ON CONFLICT DO NOTHING;

-- Rounds that a newer one, which the log has left behind as well, says everything of.
-- name: forget_rounds
DELETE FROM cleaning USING (SELECT redo_lsn FROM pg_control_checkpoint()) AS log
WHERE lsn <= redo_lsn AND up_to < (SELECT max(up_to) FROM cleaning WHERE lsn <= redo_lsn);

-- Up to when the tables and the log are clean. The log is, where files that a checkpoint needs no
-- more are removed and not used again, and nothing else keeps or copies them; and not before it has
-- used up what a former release kept (the round of `-infinity`).
-- name: clean
SELECT max(up_to) FILTER (WHERE isfinite(up_to)) AS tables, max(up_to) FILTER (
    WHERE isfinite(up_to) AND lsn <= redo_lsn
    AND current_setting('wal_recycle') = 'off' AND current_setting('archive_mode') = 'off'
    AND current_setting('wal_keep_size') = '0' AND NOT EXISTS (SELECT FROM pg_replication_slots)
    AND NOT EXISTS (SELECT FROM cleaning AS o WHERE NOT isfinite(o.up_to) AND o.lsn > redo_lsn)
) AS log
FROM cleaning, pg_control_checkpoint();
