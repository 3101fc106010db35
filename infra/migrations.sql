-- Which migrations a database has.

-- One migration at a time in a database; held by the session.
-- name: lock
SELECT pg_advisory_lock($1);

-- What was applied; `readers_from` came with migration 7, and this reads a table of any age.
-- name: applied
SELECT number, sha256, (to_jsonb(migration) ->> 'readers_from')::integer AS readers_from
FROM migration ORDER BY number;

-- The table itself, before the first migration.
-- name: begin
CREATE TABLE IF NOT EXISTS migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- Remember one, in its own transaction.
-- name: remember
INSERT INTO migration (number, name, sha256) VALUES ($1, $2, $3);

-- Remember whom it serves.
-- name: serve
UPDATE migration SET readers_from = $2 WHERE number = $1;
