-- What doctor asks of Postgres.

-- Which server it is, and whether it may forget commits.
-- name: server
SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit;

-- The key-encryption keys under which subjects' keys are wrapped.
-- name: keks
SELECT kek, count(*) AS subjects FROM subject GROUP BY kek;

-- The database's clock, seconds since the epoch.
-- name: clock
SELECT extract(epoch FROM clock_timestamp());
