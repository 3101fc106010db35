-- What a rebuild asks of Postgres itself; its tables belong to `stores`.

-- One rebuild at a time in a database; held by the session.
-- name: lock
SELECT pg_try_advisory_lock($1);
